//! The loss of a binary classifier over the sigmoid of its logit, for either label.
//!
//! With logits 0 and x, softmax is the sigmoid of x, and the cross-entropy −ln z or −ln(1 − z): to the last
//! digit also where z rounds to 0 or 1.

use wgpu_softmax::{Cpu, CrossEntropy, Reduction};

use super::drawing::{Chart, Colour, Horizontal, Series, Shape};
use super::row::Row;
use crate::args::Plotted;
use crate::failure::Outcome;

/// Marks that an SVG's readers take.
const MOST_LOGITS: usize = 100_000;

/// The logits, down and up, with the sigmoids 0.001 and 0.999.
const REACH: f64 = 6.9;

/// Points of a curve that looks smooth.
const CURVE_POINTS: usize = 500;

/// The picture as SVG.
pub fn picture(asked: &Plotted) -> Outcome<String> {
    let given = Row::read(asked, MOST_LOGITS)?;
    let mut title = "Binary cross-entropy".to_string();
    // Evenly over the logits, which is densest where the curves are steep.
    let mut curve: Vec<f64> =
        (0..=CURVE_POINTS).map(|step| REACH * (2.0 * step as f64 / CURVE_POINTS as f64 - 1.0)).collect();
    if let Some(row) = &given {
        if row.logits.iter().any(|logit| !logit.is_finite()) {
            return Err(row.refused("holds NaN or ∞, whose losses have no place in a picture"));
        }
        title.push_str(&format!(" at {}", row.name));
        // Beyond, the curves are upright.
        let farthest = row.logits.iter().fold(REACH, |farthest, logit| farthest.max(logit.abs()));
        curve.insert(0, -farthest);
        curve.push(farthest);
    }
    let curve = Losses::at(&curve)?;
    let mut series = vec![
        Series::new(curve.positive, Shape::Line, Colour::Blue).named("y = 1: −ln z"),
        Series::new(curve.negative, Shape::Dashes, Colour::Orange).named("y = 0: −ln(1 − z)"),
    ];
    if let Some(row) = &given {
        let marks = Losses::at(&row.logits)?;
        series.push(Series::new(marks.positive, Shape::Points, Colour::Blue));
        series.push(Series::new(marks.negative, Shape::Points, Colour::Orange));
    }
    let across = "sigmoid z of the logit";
    Ok(Chart { title, across, up: "loss in nats", horizontal: Horizontal::Numbers, series }.svg())
}

/// Losses over sigmoids.
struct Losses {
    /// For the label 1.
    positive: Vec<(f64, f64)>,
    /// For the label 0.
    negative: Vec<(f64, f64)>,
}

impl Losses {
    fn at(logits: &[f64]) -> Outcome<Losses> {
        let pairs: Vec<f64> = logits.iter().flat_map(|&logit| [0.0, logit]).collect();
        let shape = [logits.len(), 2];
        let probabilities = Cpu::new().softmax(&pairs, &shape, 1)?;
        let over_sigmoids = |label: u8| -> Outcome<Vec<(f64, f64)>> {
            let labels = vec![label; logits.len()];
            let loss = CrossEntropy::new(&pairs, &shape, 1, &labels).reduction(Reduction::None);
            let losses = Cpu::new().cross_entropy::<f64>(&loss)?.losses;
            Ok(probabilities.chunks(2).map(|pair| pair[1]).zip(losses).collect())
        };
        Ok(Losses { positive: over_sigmoids(1)?, negative: over_sigmoids(0)? })
    }
}
