//! The Jacobians of softmax and of log-softmax, made of what the row kernels give.
//!
//! On the diagonal stands 1 − pᵢ. Where pᵢ is more than a half that would cancel, and the log-probability
//! has the digits: 1 − pᵢ = −expm1(log pᵢ). Elsewhere the subtraction loses nothing.

use crate::{Op, Options, Rows};

use super::real::Real;
use super::{compute_rows, threads};

/// Computes the Jacobian of every row of a compact `rows × classes` batch.
pub(super) fn compute<T: Real>(op: Op, logits: &[T], rows: &Rows, result: &mut [T], options: &Options) {
    let classes = rows.classes() as usize;
    let asked = rows.jacobian_rows().start as usize..rows.jacobian_rows().end as usize;
    let Some(pairs) = asked.len().checked_mul(classes).filter(|&pairs| pairs > 0) else { return };
    let rows_per_task = (threads::LOGITS_PER_TASK / pairs).max(1);
    threads::map_pieces(result, rows_per_task * pairs, |task, result| {
        let logits = logits.get(task * rows_per_task * classes..).unwrap_or_default();
        for (logits, jacobian) in logits.chunks_exact(classes).zip(result.chunks_exact_mut(pairs)) {
            let row = Measured::new(logits, options);
            let rows_per_piece = (threads::LOGITS_PER_TASK / classes).max(1);
            threads::map_pieces(jacobian, rows_per_piece * classes, |piece, jacobian| {
                let first = asked.start + piece * rows_per_piece;
                for (index, values) in jacobian.chunks_exact_mut(classes).enumerate() {
                    row.write(op, first + index, values);
                }
            });
        }
    });
}

/// What every row of a Jacobian is made of.
pub(super) struct Measured<T> {
    pub(super) probabilities: Vec<T>,
    /// Empty where no probability is more than a half.
    logs: Vec<T>,
    /// A row without probabilities is NaN throughout, or 0 where nothing takes part and that was asked for.
    is_special: bool,
}

impl<T: Real> Measured<T> {
    pub(super) fn new(logits: &[T], options: &Options) -> Self {
        let mut probabilities = vec![T::ZERO; logits.len()];
        measure(Op::Softmax, logits, &mut probabilities, options);
        let mut logs = Vec::new();
        if probabilities.iter().any(|p| p.widen() > 0.5) {
            logs = vec![T::ZERO; logits.len()];
            measure(Op::LogSoftmax, logits, &mut logs, options);
        }
        let is_special = !probabilities.iter().any(|&p| p > T::ZERO);
        Measured { probabilities, logs, is_special }
    }

    /// Writes row `i` of the Jacobian.
    pub(super) fn write(&self, op: Op, i: usize, values: &mut [T]) {
        let Some(&p) = self.probabilities.get(i) else { return };
        if self.is_special {
            values.fill(p);
            return;
        }
        let scale = if op == Op::Jacobian { p } else { T::ONE };
        for (value, &other) in values.iter_mut().zip(&self.probabilities) {
            *value = T::ZERO - scale * other;
        }
        let complement = match self.logs.get(i) {
            Some(log) if p.widen() > 0.5 => 0.0 - log.widen().exp_m1(),
            _ => 1.0 - p.widen(),
        };
        if let Some(value) = values.get_mut(i) {
            *value = scale * T::narrow(complement);
        }
    }
}

fn measure<T: Real>(op: Op, logits: &[T], result: &mut [T], options: &Options) {
    if let Ok(row) = Rows::batch(1, logits.len() as u64) {
        compute_rows(op, logits, &row, result, options);
    }
}
