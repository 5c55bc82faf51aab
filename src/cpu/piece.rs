//! Some neighbouring classes of a row, with all that belongs to them: as a caller gives them, and part by part as they
//! are computed with.

use std::ops::Range;

use crate::adjustment::Resolved;
use crate::arrangement::Arrangement;
use crate::cross_entropy::ArrangedLoss;
use crate::tensor::check_length;
use crate::{Adjustment, Axes, Element, Elements, Error, Op, Operand, Options, Result, Targets};

use super::blocks::{Participation, Row, load_range, reused};
use super::instruction_set::{InstructionSet, Machine, Task};
use super::real::Real;

/// Some neighbouring classes of a row: their logits, what the row's operation is given beside them, and what becomes
/// of them first.
///
/// Logits and operand may each have a type of their own. A slice of logits is a piece that has nothing more to it.
///
/// ```
/// use wgpu_softmax::{Adjustment, Op, Options, Piece, RowInPieces};
///
/// let (logits, mask) = ([0.0f32, 7.0, 0.0, f32::NAN], [true, false, true, true]);
/// let pieces = || [0..2, 2..4].map(|classes| {
///     let adjustment = Adjustment::default().mask(&mask[classes.clone()], &[2]).lengths(&[3]);
///     Piece::new(&logits[classes]).adjustment(adjustment)
/// });
/// let row = RowInPieces::<f32>::new(Op::LogSumExp, &Options::default())?
///     .measured(|row| pieces().into_iter().try_for_each(|piece| row.measure(piece)))?;
/// assert_eq!(row.log_sum_exp(), Some(2f32.ln()));
/// # Ok::<(), wgpu_softmax::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Piece<'a> {
    logits: Elements<'a>,
    /// Of which array, along which axes.
    lies: Option<(&'a [usize], Axes)>,
    operand: Option<Elements<'a>>,
    class_weights: Option<Elements<'a>>,
    adjustment: Adjustment<'a>,
}

impl<'a> Piece<'a> {
    /// A piece of so many logits.
    pub fn new(logits: impl Into<Elements<'a>>) -> Self {
        Piece {
            logits: logits.into(),
            lies: None,
            operand: None,
            class_weights: None,
            adjustment: Adjustment::default(),
        }
    }

    /// As a C-ordered box of `shape`, whose one row lies along `axes`: what masks are broadcast against. Without this,
    /// the shape is (1, number of logits), and the axis is the last one.
    pub fn of_shape(mut self, shape: &'a [usize], axes: impl Into<Axes>) -> Self {
        self.lies = Some((shape, axes.into()));
        self
    }

    /// With the cotangent, the tangent, the weights or the target probabilities of these classes, as the row's operation
    /// has it: one for each logit.
    pub fn operand(mut self, operand: impl Into<Elements<'a>>) -> Self {
        self.operand = Some(operand.into());
        self
    }

    /// With the class weights of these classes: of a [loss](crate::LossInPieces) alone.
    pub fn class_weights(mut self, weights: impl Into<Elements<'a>>) -> Self {
        self.class_weights = Some(weights.into());
        self
    }

    /// With a temperature, and masks of these classes. The row's length (one number) and causality, for its one query,
    /// count the classes of the whole row, and are the same for all pieces; so is the temperature.
    pub fn adjustment(mut self, adjustment: Adjustment<'a>) -> Self {
        self.adjustment = adjustment;
        self
    }

    /// The piece from class `first` of a row on, once everything is known to fit.
    pub(super) fn fitted(self, op: Op, options: &Options, first: usize) -> Result<FittedPiece<'a>> {
        if self.class_weights.is_some() {
            return Err(Error::OperandUnused { op, given: "class weights" });
        }
        self.fitted_with(op, op.operand().map(Operand::name), options, first)
    }

    /// The same of a row whose loss is wanted.
    pub(super) fn fitted_for_loss(self, loss: &ArrangedLoss<'_>, first: usize) -> Result<FittedPiece<'a>> {
        let needed = matches!(loss.targets, Targets::Probabilities(_)).then_some("target probabilities");
        self.fitted_with(Op::CrossEntropy, needed, &loss.options, first)
    }

    fn fitted_with(
        self,
        op: Op,
        needed: Option<&'static str>,
        options: &Options,
        first: usize,
    ) -> Result<FittedPiece<'a>> {
        let Piece { logits, lies, operand, class_weights, adjustment } = self;
        let alone = [1, logits.len()];
        let (shape, axes) =
            lies.as_ref().map_or((&alone[..], &Axes::One(-1)), |(shape, axes)| (*shape, axes));
        // No axis of more than one element is left beside the row's, so that its classes lie in their order.
        let arrangement = Arrangement::new(Op::Softmax, shape, axes)?;
        check_length("the rows of a piece", 1, arrangement.rows.count())?;
        check_length("the logits' slice", arrangement.rows.classes(), logits.len() as u64)?;
        if let Some(weights) = class_weights {
            check_length("the class weights' slice", logits.len() as u64, weights.len() as u64)?;
        }
        match (needed, operand) {
            (Some(_), Some(elements)) => {
                check_length("the second operand's slice", logits.len() as u64, elements.len() as u64)?;
            }
            (Some(needed), None) => return Err(Error::OperandMissing { op, needed }),
            (None, Some(_)) => return Err(Error::OperandUnused { op, given: "a second operand" }),
            (None, None) => {}
        }
        crate::request::check_given(op, options, !adjustment.is_none())?;
        let computed = logits.dtype().computed();
        let adjustment = adjustment.resolve_within(shape, &arrangement, computed, u64::MAX)?;
        let visible = adjustment.visible(0);
        let in_piece = |class: u64| (class.saturating_sub(first as u64)).min(logits.len() as u64) as usize;
        let visible = in_piece(visible.start)..in_piece(visible.end);
        Ok(FittedPiece { logits, operand, class_weights, adjustment, visible })
    }
}

impl<'a, T: Element> From<&'a [T]> for Piece<'a> {
    fn from(logits: &'a [T]) -> Self {
        Piece::new(logits)
    }
}

impl<'a, T: Element, const LENGTH: usize> From<&'a [T; LENGTH]> for Piece<'a> {
    fn from(logits: &'a [T; LENGTH]) -> Self {
        Piece::new(logits)
    }
}

impl<'a, T: Element> From<&'a Vec<T>> for Piece<'a> {
    fn from(logits: &'a Vec<T>) -> Self {
        Piece::new(logits)
    }
}

/// A piece whose parts fit each other, and its row's operation.
pub(super) struct FittedPiece<'a> {
    logits: Elements<'a>,
    operand: Option<Elements<'a>>,
    class_weights: Option<Elements<'a>>,
    adjustment: Resolved<'a>,
    /// What length, causality and window leave of it.
    visible: Range<usize>,
}

/// Memory for the logits of a part, and for which of them take part.
pub(super) type PartMemory<T> = (Vec<T>, Vec<bool>);

impl FittedPiece<'_> {
    /// How many logits it has.
    pub(super) fn len(&self) -> usize {
        self.logits.len()
    }

    /// How many classes of the row take part at most, if it says so.
    pub(super) fn length_of_row(&self) -> Option<u64> {
        self.adjustment.lengths.and_then(|lengths| lengths.first().copied())
    }

    /// 1 where there are no weights.
    pub(super) fn class_weight(&self, class: usize) -> f64 {
        self.class_weights.as_ref().map_or(1.0, |weights| weights.get(class).unwrap_or(0.0))
    }

    pub(super) fn temperature(&self) -> f64 {
        self.adjustment.temperature_of(0)
    }

    /// Some of its logits as the softmax is taken of them.
    pub(super) fn part<'m, T: Real>(
        &self,
        instructions: InstructionSet,
        range: Range<usize>,
        (logits, takes_part): &'m mut PartMemory<T>,
    ) -> Row<'m, T> {
        let logits = reused(logits, range.len());
        load_range(instructions, self.logits, range.clone(), logits);
        if self.adjustment.is_none() {
            return Row { logits, participation: Participation::of(&[], 0..0) };
        }
        let takes_part = reused(takes_part, range.len());
        instructions.run(Adjust { piece: self, first: range.start, logits, takes_part });
        Row { logits, participation: Participation::of(takes_part, 0..range.len()) }
    }

    /// The same part of the operand, 0 for what takes no part.
    pub(super) fn operand_of_part<T: Real>(
        &self,
        instructions: InstructionSet,
        range: Range<usize>,
        participation: Participation<'_>,
        operand: &mut [T],
    ) {
        if let Some(elements) = self.operand {
            load_range(instructions, elements, range, operand);
        }
        participation.fill_masked(T::ZERO, operand);
    }
}

/// Turns some logits of a piece, from `first` on, into what its softmax is taken of.
struct Adjust<'a, T> {
    piece: &'a FittedPiece<'a>,
    first: usize,
    logits: &'a mut [T],
    takes_part: &'a mut [bool],
}

impl<T: Real> Task for Adjust<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<M: Machine>(self, _: M) {
        let Adjust { piece, first, logits, takes_part } = self;
        let in_part = |class: usize| class.saturating_sub(first).min(logits.len());
        let visible = in_part(piece.visible.start)..in_part(piece.visible.end);
        piece.adjustment.adjust_from(first, 0, 0, visible, logits, takes_part);
    }
}
