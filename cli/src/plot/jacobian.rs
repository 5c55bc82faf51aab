//! The Jacobian of a row's softmax, as a heat map.

use wgpu_softmax::Cpu;

use super::drawing::HeatMap;
use super::row::Row;
use crate::args::Plotted;
use crate::failure::Outcome;

/// Entries of larger matrices would be specks, and their files tens of megabytes.
const MOST_CLASSES: usize = 256;

/// The picture as SVG.
pub fn picture(asked: &Plotted) -> Outcome<String> {
    let row = Row::read(asked, MOST_CLASSES)?.unwrap_or_else(|| Row {
        logits: vec![1.25, 2.44, 0.78, 0.12],
        name: "1.25, 2.44, 0.78, 0.12".into(),
    });
    let classes = row.logits.len();
    let values = Cpu::new().jacobian(&row.logits, &[classes], -1)?;
    if values.iter().any(|value| value.is_nan()) {
        return Err(row.refused("has no Jacobian: it holds a NaN or +∞, or nothing but −∞"));
    }
    Ok(HeatMap {
        title: format!("Jacobian of softmax at {}", row.name),
        across: "logit j",
        down: "probability i",
        coloured: "∂p[i] / ∂x[j] = p[i] (δ[i, j] − p[j])",
        columns: classes,
        values,
    }
    .svg())
}
