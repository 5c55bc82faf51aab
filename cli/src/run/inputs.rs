//! What is read beside the logits: opened and held against their shape before anything large is read.

use wgpu_softmax::{Adjustment, Elements, Targets, Temperature};

use crate::args::{Adjusting, Operation, Run, Temperature as AskedTemperature};
use crate::arrays::{ArrayFile, Float, Incoming, Numbers, Stored, broadcast, can_broadcast};
use crate::failure::{Failure, Outcome};
use crate::report::{self, Input, OtherInput};

/// The logits' shape, and what the normalised axes leave of it.
#[derive(Debug, Clone)]
pub struct Shapes {
    pub logits: Vec<usize>,
    /// Counted from the front.
    pub axes: Vec<usize>,
    /// Without the normalised axes.
    pub rows: Vec<usize>,
    /// With length 1 there.
    pub rows_kept: Vec<usize>,
    /// The normalised axes' lengths.
    pub classes: Vec<usize>,
}

impl Shapes {
    pub fn new(logits: &[usize], axes: Vec<usize>) -> Shapes {
        let normalised = |axis: &usize| axes.contains(axis);
        let lengths = |of: &dyn Fn(&usize) -> bool| {
            (0..logits.len()).filter(|axis| of(axis)).map(|axis| logits[axis]).collect()
        };
        let kept = (0..logits.len()).map(|axis| if normalised(&axis) { 1 } else { logits[axis] });
        Shapes {
            logits: logits.to_vec(),
            rows: lengths(&|axis| !normalised(axis)),
            rows_kept: kept.collect(),
            classes: lengths(&normalised),
            axes,
        }
    }

    /// Rows in all.
    pub fn row_count(&self) -> usize {
        self.rows.iter().product()
    }

    /// Classes of each row.
    pub fn class_count(&self) -> usize {
        self.classes.iter().product()
    }
}

/// An array beside the logits, which waits to be read.
struct Other {
    /// Its option's name.
    name: &'static str,
    incoming: Incoming,
}

/// The arrays beside the logits, whose types and shapes fit.
#[derive(Default)]
pub struct Opened {
    /// A cotangent, a tangent, or the weights of a sum.
    operand: Option<Other>,
    labels: Option<Other>,
    target_probabilities: Option<Other>,
    class_weights: Option<Other>,
    temperatures: Option<Other>,
    mask: Option<Other>,
    additive_mask: Option<Other>,
    lengths: Option<Other>,
}

impl Opened {
    /// Opens all that was asked for.
    pub fn new(asked: &Run, shapes: &Shapes) -> Outcome<Opened> {
        let Run { multiplying, adjusting, losing, .. } = asked;
        let any = |_: Stored| None;
        let whole = |stored: Stored| (!stored.is_integer()).then_some("integers are needed");
        let truth = |stored: Stored| {
            (matches!(stored, Stored::Float(_))).then_some("booleans are needed, or the integers 0 and 1")
        };
        let added =
            |stored: Stored| (stored == Stored::Bool).then_some("numbers are needed: --mask takes booleans");
        let as_logits = Fit::exactly(&[&shapes.logits], "the logits' shape");
        let as_rows = Fit::exactly(&[&shapes.rows], "the logits' shape without the normalised axes");
        let as_rows_or_kept = Fit::exactly(&[&shapes.rows, &shapes.rows_kept], as_rows.what);
        let to_logits = Fit::broadcast(&[&shapes.logits], "the logits' shape");
        // The number of dimensions tells which of the two is meant.
        let to_rows = if shapes.rows.len() == shapes.logits.len() {
            vec![&shapes.rows[..]]
        } else {
            vec![&shapes.rows[..], &shapes.rows_kept]
        };
        let to_rows = Fit::broadcast(&to_rows, as_rows.what);
        let class_count = [shapes.class_count()];
        let as_classes = Fit::exactly(&[&class_count, &shapes.classes], "one weight for each class");

        let of_sum = multiplying.weights.as_ref().filter(|_| asked.operation != Operation::CrossEntropy);
        let of_classes = multiplying.weights.as_ref().filter(|_| asked.operation == Operation::CrossEntropy);
        let operand = match (&multiplying.cotangent, &multiplying.tangent, of_sum) {
            (Some(file), ..) => open("cotangent", Some(file), any, &as_logits)?,
            (_, Some(file), _) => open("tangent", Some(file), any, &as_logits)?,
            (.., weights) => open("weights", weights, any, &to_logits)?,
        };
        let temperatures = match &adjusting.temperature {
            Some(AskedTemperature::File(file)) => Some(file),
            _ => None,
        };
        Ok(Opened {
            operand,
            labels: open("labels", losing.labels.as_ref(), whole, &as_rows)?,
            target_probabilities: open("target-probs", losing.target_probs.as_ref(), any, &as_logits)?,
            class_weights: open("weights", of_classes, any, &as_classes)?,
            temperatures: open("temperature", temperatures, any, &to_rows)?,
            mask: open("mask", adjusting.mask.as_ref(), truth, &to_logits)?,
            additive_mask: open("add-mask", adjusting.add_mask.as_ref(), added, &to_logits)?,
            lengths: open("lengths", adjusting.lengths.as_ref(), whole, &as_rows_or_kept)?,
        })
    }

    /// What reports say of them.
    pub fn described(&self) -> Vec<OtherInput> {
        let all = [
            &self.operand,
            &self.labels,
            &self.target_probabilities,
            &self.class_weights,
            &self.temperatures,
            &self.mask,
            &self.additive_mask,
            &self.lengths,
        ];
        let described = |Other { name, incoming }: &Other| OtherInput { name, input: Input::of(incoming) };
        all.into_iter().flatten().map(described).collect()
    }

    /// Reads them, for what is computed in `computed`.
    pub fn read(self, asked: &Run, shapes: &Shapes, computed: Float) -> Outcome<Inputs> {
        let numbers = |other: Option<Other>| other.map(|other| other.numbers(computed)).transpose();
        let shaped = |other: &Option<Other>| -> Vec<usize> {
            other.as_ref().map(|other| other.incoming.shape().to_vec()).unwrap_or_default()
        };
        let operand = match self.operand {
            Some(other) => Some(other.broadcast(computed, &shapes.logits)?),
            None => None,
        };
        let temperature = match (&asked.adjusting.temperature, self.temperatures) {
            (Some(AskedTemperature::Number(number)), _) => Some(Temperatures::Same(*number)),
            (_, Some(other)) => {
                let from = other.incoming.shape();
                let to = if from.len() > shapes.rows.len() { &shapes.rows_kept } else { &shapes.rows };
                Some(Temperatures::PerRow(other.broadcast(computed, to)?))
            }
            _ => None,
        };
        let (mask_shape, additive_mask_shape) = (shaped(&self.mask), shaped(&self.additive_mask));
        Ok(Inputs {
            operand,
            labels: self.labels.map(|other| other.incoming.read()).transpose()?,
            target_probabilities: numbers(self.target_probabilities)?,
            class_weights: numbers(self.class_weights)?,
            temperature,
            mask: self.mask.map(|other| other.incoming.read()).transpose()?.map(|mask| (mask, mask_shape)),
            additive_mask: numbers(self.additive_mask)?.map(|mask| (mask, additive_mask_shape)),
            lengths: self.lengths.map(|other| other.incoming.read()).transpose()?,
        })
    }
}

impl Other {
    /// The elements, in the widest type that `computed` does not have to round.
    fn numbers(self, computed: Float) -> Outcome<Numbers> {
        let float = self.incoming.stored().at_most(computed);
        self.incoming.read_as(float)
    }

    /// The same, as an array of `shape`.
    fn broadcast(self, computed: Float, shape: &[usize]) -> Outcome<Numbers> {
        let (name, from) = (self.incoming.name().to_string(), self.incoming.shape().to_vec());
        Ok(match self.numbers(computed)? {
            Numbers::F16(values) => Numbers::F16(broadcast(values, &from, shape, &name)?),
            Numbers::Bf16(values) => Numbers::Bf16(broadcast(values, &from, shape, &name)?),
            Numbers::F32(values) => Numbers::F32(broadcast(values, &from, shape, &name)?),
            Numbers::F64(values) => Numbers::F64(broadcast(values, &from, shape, &name)?),
        })
    }
}

/// The shapes that an array may have.
struct Fit<'a> {
    shapes: Vec<&'a [usize]>,
    broadcast: bool,
    /// The first of them in words.
    what: &'static str,
}

impl<'a> Fit<'a> {
    fn exactly(shapes: &[&'a [usize]], what: &'static str) -> Fit<'a> {
        Fit { shapes: shapes.to_vec(), broadcast: false, what }
    }

    fn broadcast(shapes: &[&'a [usize]], what: &'static str) -> Fit<'a> {
        Fit { shapes: shapes.to_vec(), broadcast: true, what }
    }

    fn admits(&self, shape: &[usize]) -> bool {
        self.shapes.iter().any(|&allowed| match self.broadcast {
            true => can_broadcast(shape, allowed),
            false => shape == allowed,
        })
    }
}

/// Opens the file for `--name`, if there is one, whose type and shape must fit.
fn open(
    name: &'static str,
    file: Option<&ArrayFile>,
    refused: impl Fn(Stored) -> Option<&'static str>,
    fit: &Fit<'_>,
) -> Outcome<Option<Other>> {
    let Some(file) = file else { return Ok(None) };
    let incoming = Incoming::open(file)?;
    let refuse =
        |why: String| Err(Failure::Input(format!("cannot use {} for --{name}: {why}", incoming.name())));
    if let Some(needed) = refused(incoming.stored()) {
        return refuse(format!("its elements are {}, and {needed}", incoming.stored()));
    }
    if !fit.admits(incoming.shape()) {
        let (shape, needed) = (report::shape(incoming.shape()), report::shape(fit.shapes[0]));
        return refuse(match fit.broadcast {
            true => format!("its shape {shape} cannot be broadcast to {needed}, {}", fit.what),
            false => format!("its shape is {shape} where {needed} is needed, {}", fit.what),
        });
    }
    Ok(Some(Other { name, incoming }))
}

/// What logits are divided by.
enum Temperatures {
    Same(f64),
    PerRow(Numbers),
}

/// The arrays beside the logits, read.
pub struct Inputs {
    operand: Option<Numbers>,
    labels: Option<Vec<i64>>,
    target_probabilities: Option<Numbers>,
    class_weights: Option<Numbers>,
    temperature: Option<Temperatures>,
    mask: Option<(Vec<bool>, Vec<usize>)>,
    additive_mask: Option<(Numbers, Vec<usize>)>,
    lengths: Option<Vec<u64>>,
}

impl Inputs {
    /// The cotangent, the tangent, or the weights of a sum.
    pub fn operand(&self) -> Option<Elements<'_>> {
        self.operand.as_ref().map(Numbers::elements)
    }

    /// Labels or target probabilities; no labels at all where neither was given.
    pub fn targets(&self) -> Targets<'_> {
        match (&self.target_probabilities, &self.labels) {
            (Some(probabilities), _) => probabilities.elements().into(),
            (None, labels) => labels.as_deref().unwrap_or_default().into(),
        }
    }

    pub fn class_weights(&self) -> Option<Elements<'_>> {
        self.class_weights.as_ref().map(Numbers::elements)
    }

    /// What becomes of the logits first.
    pub fn adjustment(&self, asked: &Adjusting) -> Adjustment<'_> {
        let mut adjustment = Adjustment::default();
        match &self.temperature {
            Some(Temperatures::Same(number)) => adjustment = adjustment.temperature(*number),
            Some(Temperatures::PerRow(numbers)) => {
                adjustment = adjustment.temperature(Temperature::PerRow(numbers.elements()));
            }
            None => {}
        }
        if let Some((mask, shape)) = &self.mask {
            adjustment = adjustment.mask(mask, shape);
        }
        if let Some((mask, shape)) = &self.additive_mask {
            adjustment = adjustment.additive_mask(mask.elements(), shape);
        }
        if asked.causal {
            let offset = asked.causal_offset.unwrap_or(0);
            adjustment = match asked.window {
                Some(window) => adjustment.sliding_window(offset, window),
                None => adjustment.causal(offset),
            };
        }
        if let Some(lengths) = &self.lengths {
            adjustment = adjustment.lengths(lengths);
        }
        adjustment
    }
}
