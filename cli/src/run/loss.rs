//! Cross-entropy, with its gradient and the log-probabilities where they are asked for.

use wgpu_softmax::{CrossEntropy, Engine, Error, Op, Options, Reduction, Request};

use crate::args::{Losing, Run};
use crate::arrays::{Decimal, Numbers, Written, reserve};
use crate::failure::{Failure, Outcome};
use crate::report::{self, Loss, Row};

use super::Answer;
use super::inputs::{Inputs, Shapes};

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

/// What came of it.
pub struct Lost<R> {
    pub answer: Answer<R>,
    /// Rows that are not ignored.
    pub counted: u64,
    /// The reduced loss, in the type it was computed in.
    pub value: Option<f64>,
    /// The first rows and the last ones, where each has a loss.
    pub rows: [Vec<Row>; 2],
}

/// Computes the loss over the logits.
pub fn compute<R: Written>(
    engine: &Engine,
    asked: &Run,
    shapes: &Shapes,
    logits: &Numbers,
    inputs: &Inputs,
    options: Options,
) -> Outcome<Lost<R>> {
    let Losing { ignore_index, label_smoothing, z_loss, grad, log_probs, .. } = &asked.losing;
    let axes = || asked.computation.axes(shapes.logits.len());
    let adjustment = inputs.adjustment(&asked.adjusting);
    let reduction = asked.losing.reduction.unwrap_or_default();
    let mut loss = CrossEntropy::new(logits.elements(), &shapes.logits, axes(), inputs.targets())
        .label_smoothing(label_smoothing.unwrap_or(0.0))
        .z_loss(z_loss.unwrap_or(0.0))
        .reduction(reduction)
        .adjustment(adjustment)
        .options(options);
    if let Some(weights) = inputs.class_weights() {
        loss = loss.class_weights(weights);
    }
    if let Some(label) = *ignore_index {
        loss = loss.ignore_index(label);
    }
    if grad.is_some() {
        loss = loss.with_gradient();
    }
    let losses = engine.cross_entropy_blocking::<R>(&loss).map_err(|error| about_labels(error, shapes))?;

    let mut log_probabilities = Vec::new();
    if log_probs.is_some() {
        let length = shapes.logits.iter().product();
        reserve::<R>(&mut log_probabilities, length, "the log-probabilities")?;
        log_probabilities.resize(length, R::default());
        let request = Request::new(Op::LogSoftmax, logits.elements(), &shapes.logits, axes())
            .adjustment(adjustment)
            .options(options);
        engine.answer_into_blocking(&request, &mut log_probabilities)?;
    }

    let rows = match reduction {
        Reduction::None => {
            report::rows(wgpu_softmax::Output::PerRow, &shapes.logits, &shapes.axes, &losses.losses)
        }
        _ => Default::default(),
    };
    let value = match (reduction, &losses.losses[..]) {
        (Reduction::None, _) | (_, []) => None,
        (_, [value, ..]) => Some(value.decimal()),
    };
    Ok(Lost {
        counted: losses.counted,
        value,
        rows,
        answer: Answer {
            result: losses.losses.into_iter().map(R::rounded).collect(),
            sign: Vec::new(),
            gradient: losses.gradient.unwrap_or_default(),
            log_probabilities,
        },
    })
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
