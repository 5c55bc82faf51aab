//! Cross-entropy, with its gradient and the log-probabilities where they are asked for.

use wgpu_softmax::{CrossEntropy, Engine, Error, LossSums, Op, Reduction, Request};

use crate::args::{Losing, Run};
use crate::arrays::{Float, Written, reserve};
use crate::failure::{Failure, Outcome};
use crate::progress::Work;
use crate::report::Loss;

use super::inputs::{Inputs, Shapes};
use super::{Answer, Given};

/// What the loss is made of, before it is known.
pub fn described(asked: &Losing) -> Loss {
    Loss {
        reduction: match asked.reduction.unwrap_or_default() {
            Reduction::None => "none",
            Reduction::Sum => "sum",
            Reduction::Mean => "mean",
        },
        ignore_index: asked.ignore_index,
        label_smoothing: asked.label_smoothing.unwrap_or(0.0),
        z_loss: asked.z_loss.unwrap_or(0.0),
        value: None,
        counted: 0,
    }
}

/// What is known of all rows before any of them is computed.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tally {
    /// Rows that are not ignored.
    pub counted: u64,
    /// The sum of their labels' class weights.
    pub weight: f64,
}

impl Tally {
    /// Goes through the labels of all rows, in the order and the arithmetic of the library's own. Class weights are read
    /// one by one where rows go `in_pieces`.
    ///
    /// # Errors
    /// For a label that names no class.
    pub fn new(
        asked: &Losing,
        shapes: &Shapes,
        inputs: &mut Inputs,
        computed: Float,
        in_pieces: bool,
    ) -> Outcome<Tally> {
        let rows = shapes.row_count() as u64;
        if asked.labels.is_none() {
            return Ok(Tally { counted: rows, weight: rows as f64 });
        }
        let classes = shapes.class_count() as u64;
        let (mut counted, mut weight, mut has_weights) = (0, 0.0, false);
        inputs.for_each_label(computed, in_pieces, &Work::unseen(), |row, label, weight_of| {
            if Some(label) == asked.ignore_index {
                return Ok(());
            }
            if label < 0 || label as u64 >= classes {
                return Err(about_labels(Error::LabelOutOfRange { row: row as u64, label, classes }, shapes));
            }
            counted += 1;
            if let Some(of_class) = weight_of(label as usize)? {
                has_weights = true;
                weight += of_class;
            }
            Ok(())
        })?;
        Ok(Tally { counted, weight: if has_weights { weight } else { counted as f64 } })
    }
}

/// What came of a window.
pub struct Lost<R: Written> {
    pub answer: Answer<R>,
    /// The losses: one for each row, or that of all rows so far.
    pub losses: Vec<R::Computed>,
    /// What all rows so far have come to.
    pub sums: LossSums,
}

/// Computes the loss over the logits of a window, after rows that have come to `before`.
pub fn compute<R: Written>(
    engine: &Engine,
    asked: &Run,
    given: &Given<'_>,
    tally: Tally,
    before: LossSums,
) -> Outcome<Lost<R>> {
    let Losing { grad, log_probs, .. } = &asked.losing;
    let Given { shapes, window, logits, inputs, options } = *given;
    let shape = &window.logits.lengths;
    let axes = || asked.computation.axes(shape.len());
    let adjustment = inputs.adjustment(&asked.adjusting);
    let loss = CrossEntropy::new(logits.elements(), shape, axes(), inputs.targets());
    let mut loss = settled(loss, asked, tally, before).adjustment(adjustment).options(options);
    if let Some(weights) = inputs.class_weights() {
        loss = loss.class_weights(weights);
    }
    if grad.is_some() {
        loss = loss.with_gradient();
    }
    let losses = engine.cross_entropy_blocking::<R>(&loss).map_err(|error| about_labels(error, shapes))?;

    let mut log_probabilities = Vec::new();
    if log_probs.is_some() {
        let length = window.logits.elements();
        reserve::<R>(&mut log_probabilities, length, "the log-probabilities")?;
        log_probabilities.resize(length, R::default());
        let request = Request::new(Op::LogSoftmax, logits.elements(), shape, axes())
            .adjustment(adjustment)
            .options(options);
        engine.answer_into_blocking(&request, &mut log_probabilities)?;
    }
    Ok(Lost {
        answer: Answer {
            result: losses.losses.iter().map(|&loss| R::rounded(loss)).collect(),
            sign: Vec::new(),
            gradient: losses.gradient.unwrap_or_default(),
            log_probabilities,
        },
        losses: losses.losses,
        sums: losses.sums,
    })
}

/// The loss with all that is asked of it and known of all rows, those before it having come to `before`.
pub fn settled<'a>(loss: CrossEntropy<'a>, asked: &Run, tally: Tally, before: LossSums) -> CrossEntropy<'a> {
    let Losing { ignore_index, label_smoothing, z_loss, reduction, .. } = &asked.losing;
    let loss = loss
        .label_smoothing(label_smoothing.unwrap_or(0.0))
        .z_loss(z_loss.unwrap_or(0.0))
        .reduction(reduction.unwrap_or_default())
        .mean_over(tally.counted, tally.weight)
        .added_to(before);
    match *ignore_index {
        Some(label) => loss.ignore_index(label),
        None => loss,
    }
}

/// Rows of several dimensions are found by their indices, not by counting.
fn about_labels(error: Error, shapes: &Shapes) -> Failure {
    match error {
        Error::LabelOutOfRange { row, label, classes } if shapes.rows.len() > 1 => {
            let mut rest = row as usize;
            let mut indices: Vec<String> = Vec::new();
            for &length in shapes.rows.iter().rev() {
                indices.insert(0, (rest % length.max(1)).to_string());
                rest /= length.max(1);
            }
            Failure::Input(format!(
                "the label of row [{}] is {label}, and there are {classes} classes: labels count from 0",
                indices.join(", ")
            ))
        }
        error => error.into(),
    }
}
