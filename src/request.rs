//! One computation over an array in host memory: what is given, what is asked for, and the check of both.

use std::ops::Range;

use crate::adjustment::Resolved;
use crate::arrangement::Arrangement;
use crate::rows::checked_product;
use crate::tensor::check_length;
use crate::{Adjustment, Axes, Elements, Error, Given, Op, Operand, Options, Output, Result, result_shape};

/// An operation over C-ordered logits of a shape, along some of its axes, with everything that it may be
/// given besides. `answer` of a device computes it.
///
/// Logits, operand and result may each have a type of their own; what is computed in f64 on the CPU are
/// logits of f64.
///
/// ```
/// use wgpu_softmax::{Cpu, Op, Request};
/// let (logits, cotangent) = ([0.0f32, 0.0], [1.0f32, 3.0]);
/// let request = Request::new(Op::Vjp, &logits, &[1, 2], -1).cotangent(&cotangent);
/// assert_eq!(Cpu::new().answer::<f32>(&request)?, [-0.5, 0.5]);
/// # Ok::<(), wgpu_softmax::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Request<'a> {
    op: Op,
    logits: Elements<'a>,
    shape: &'a [usize],
    axes: Axes,
    options: Options,
    jacobian_rows: Option<Range<u64>>,
    operand: Option<(Operand, Elements<'a>)>,
    adjustment: Adjustment<'a>,
}

impl<'a> Request<'a> {
    /// `op` along `axes` of `logits`, a C-ordered array of `shape`.
    pub fn new(op: Op, logits: impl Into<Elements<'a>>, shape: &'a [usize], axes: impl Into<Axes>) -> Self {
        Request {
            op,
            logits: logits.into(),
            shape,
            axes: axes.into(),
            options: Options::default(),
            jacobian_rows: None,
            operand: None,
            adjustment: Adjustment::default(),
        }
    }

    /// With other choices than the default ones.
    pub fn options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    /// Of each Jacobian, the rows in `range` alone.
    pub fn jacobian_rows(mut self, range: Range<u64>) -> Self {
        self.jacobian_rows = Some(range);
        self
    }

    /// The cotangent that is pulled back: of the logits' shape.
    pub fn cotangent(mut self, cotangent: impl Into<Elements<'a>>) -> Self {
        self.operand = Some((Operand::Cotangent, cotangent.into()));
        self
    }

    /// The tangent that is pushed forward: of the logits' shape.
    pub fn tangent(mut self, tangent: impl Into<Elements<'a>>) -> Self {
        self.operand = Some((Operand::Tangent, tangent.into()));
        self
    }

    /// What each term is multiplied with: of the logits' shape.
    pub fn weights(mut self, weights: impl Into<Elements<'a>>) -> Self {
        self.operand = Some((Operand::Weights, weights.into()));
        self
    }

    /// With a temperature or masks.
    pub fn adjustment(mut self, adjustment: Adjustment<'a>) -> Self {
        self.adjustment = adjustment;
        self
    }

    /// The shape of the answer; `keep_axes` leaves the normalised axes, with length 1, to a value per row.
    ///
    /// # Errors
    /// As [`result_shape`].
    pub fn result_shape(&self, keep_axes: bool) -> Result<Vec<usize>> {
        result_shape(self.op, self.shape, &self.axes, keep_axes)
    }

    /// The request with its rows, once everything is known to fit.
    pub(crate) fn arranged(&self) -> Result<Arranged<'a>> {
        let op = self.op;
        if op.is_loss() {
            return Err(Error::OperandMissing { op, needed: "targets, which a CrossEntropy has" });
        }
        let mut arrangement = Arrangement::new(op, self.shape, &self.axes)?;
        check_length("the logits' slice", arrangement.rows.elements(), self.logits.len() as u64)?;
        if let Some(range) = &self.jacobian_rows {
            arrangement.rows = arrangement.rows.with_jacobian_rows(range.clone())?;
        }
        let result = arrangement.rows.result(op);
        checked_product(&[result.outer(), result.classes(), result.inner()])?;
        let operand = match (op.operand(), self.operand) {
            (None, None) => None,
            (Some(needed), Some((given, elements))) if needed == given => {
                check_length("the second operand's slice", self.logits.len() as u64, elements.len() as u64)?;
                Some(elements)
            }
            (Some(needed), _) => return Err(Error::OperandMissing { op, needed: needed.name() }),
            (None, Some((given, _))) => return Err(Error::OperandUnused { op, given: given.name() }),
        };
        check_given(op, &self.options, !self.adjustment.is_none())?;
        let adjustment = self.adjustment.resolve(self.shape, &arrangement, self.logits.dtype().computed())?;
        Ok(Arranged { op, logits: self.logits, operand, arrangement, adjustment, options: self.options })
    }
}

/// Whether probabilities can stand in for the logits, where they are given.
pub(crate) fn check_given(op: Op, options: &Options, adjusted: bool) -> Result<()> {
    if options.given == Given::Logits {
        return Ok(());
    }
    if !Op::PRODUCTS.contains(&op) {
        return Err(Error::OperandUnused { op, given: "probabilities in place of logits" });
    }
    if adjusted {
        let given = "a temperature or masks, which the probabilities it is given have in them";
        return Err(Error::OperandUnused { op, given });
    }
    Ok(())
}

/// A request whose parts fit each other.
#[derive(Debug, Clone)]
pub(crate) struct Arranged<'a> {
    pub(crate) op: Op,
    pub(crate) logits: Elements<'a>,
    pub(crate) operand: Option<Elements<'a>>,
    pub(crate) arrangement: Arrangement,
    pub(crate) adjustment: Resolved<'a>,
    pub(crate) options: Options,
}

impl Arranged<'_> {
    /// Elements of the answer.
    pub(crate) fn result_elements(&self) -> u64 {
        self.arrangement.rows.result(self.op).elements()
    }

    /// Whether it is nothing but an operation on logits, which the shortest way serves.
    pub(crate) fn is_plain(&self) -> bool {
        self.operand.is_none() && self.adjustment.is_none() && self.op.output() != Output::TwoPerRow
    }
}
