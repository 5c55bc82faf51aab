//! Probabilities: of the classes in their order, or over the logits, where they lie on an exponential.

use wgpu_softmax::Cpu;

use super::drawing::{Chart, Colour, Horizontal, Series, Shape};
use super::row::Row;
use crate::args::{Over, SoftmaxPlot};
use crate::failure::Outcome;
use crate::output::note;

/// Beyond that, a line of an SVG's points is more than its readers take.
const MOST_CLASSES: usize = 100_000;

/// As many stems can be told apart in print.
const MOST_STEMS: usize = 200;

/// Points of a curve that looks smooth.
const CURVE_POINTS: usize = 500;

/// The picture as SVG.
pub fn picture(asked: &SoftmaxPlot) -> Outcome<String> {
    let given = Row::read(&asked.plotted, MOST_CLASSES)?;
    let over = asked.over.unwrap_or(if given.is_some() { Over::Classes } else { Over::Logits });
    let row = given
        .unwrap_or_else(|| Row { logits: (0..=10).map(f64::from).collect(), name: "0, 1, …, 10".into() });
    let logits = &row.logits;
    let probabilities = Cpu::new().softmax(logits, &[logits.len()], -1)?;
    if probabilities.iter().any(|p| p.is_nan()) {
        return Err(row.refused("has no probabilities: it holds a NaN or +∞, or nothing but −∞"));
    }
    let title = format!("Softmax of {}", row.name);
    match over {
        Over::Classes => Ok(over_classes(title, &probabilities)),
        Over::Logits => over_logits(title, &row, &probabilities),
    }
}

fn over_classes(title: String, probabilities: &[f64]) -> String {
    let classes = probabilities.len();
    let points = (0u32..).map(f64::from).zip(probabilities.iter().copied()).collect();
    let shape = if classes <= MOST_STEMS { Shape::Stems } else { Shape::Line };
    Chart {
        title,
        across: "class",
        up: "probability",
        horizontal: Horizontal::Classes(classes),
        series: vec![Series::new(points, shape, Colour::Blue)],
    }
    .svg()
}

fn over_logits(title: String, row: &Row, probabilities: &[f64]) -> Outcome<String> {
    let points: Vec<(f64, f64)> = (row.logits.iter().copied().zip(probabilities.iter().copied()))
        .filter(|(logit, _)| logit.is_finite())
        .collect();
    let hidden = row.logits.len() - points.len();
    if hidden > 0 {
        note(&format!("logits of −∞ have no place on the axis: {hidden} of them left out"));
    }
    let smallest = points.iter().fold(f64::INFINITY, |least, point| least.min(point.0));
    let largest = points.iter().fold(f64::NEG_INFINITY, |most, point| most.max(point.0));
    if !(largest - smallest).is_finite() {
        return Err(row.refused("has logits too far apart for one axis"));
    }
    let log_sum_exp = Cpu::new().log_sum_exp(&row.logits, &[row.logits.len()], -1)?[0];
    let curve = (0..=CURVE_POINTS)
        .map(|step| smallest + (largest - smallest) * (step as f64 / CURVE_POINTS as f64))
        .map(|logit| (logit, (logit - log_sum_exp).exp()))
        .collect();
    let mut series = vec![Series::new(points, Shape::Points, Colour::Blue)];
    if largest > smallest {
        series.push(Series::new(curve, Shape::Line, Colour::Blue));
    }
    Ok(Chart { title, across: "logit", up: "probability", horizontal: Horizontal::Numbers, series }.svg())
}
