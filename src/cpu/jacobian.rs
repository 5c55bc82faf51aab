//! The Jacobians of softmax and of log-softmax, made of what the row kernels give.
//!
//! On the diagonal stands 1 − pᵢ. Where pᵢ is more than a half that would cancel, and the log-probability
//! has the digits: 1 − pᵢ = −expm1(log pᵢ). Elsewhere the subtraction loses nothing.

use std::ops::Range;

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
        let mut probabilities = vec![T::ZERO; classes];
        let mut logs = vec![T::ZERO; classes];
        for (logits, jacobian) in logits.chunks_exact(classes).zip(result.chunks_exact_mut(pairs)) {
            measure(Op::Softmax, logits, &mut probabilities, options);
            if probabilities.iter().any(|p| p.widen() > 0.5) {
                measure(Op::LogSoftmax, logits, &mut logs, options);
            }
            write(op, &probabilities, &logs, asked.clone(), jacobian);
        }
    });
}

fn measure<T: Real>(op: Op, logits: &[T], result: &mut [T], options: &Options) {
    if let Ok(row) = Rows::batch(1, logits.len() as u64) {
        compute_rows(op, logits, &row, result, options);
    }
}

/// Writes the rows of a Jacobian that are asked for.
fn write<T: Real>(op: Op, probabilities: &[T], logs: &[T], asked: Range<usize>, jacobian: &mut [T]) {
    // A row without probabilities is NaN throughout, or 0 where nothing takes part and that was asked for.
    let is_special = !probabilities.iter().any(|&p| p > T::ZERO);
    let rows = jacobian.chunks_exact_mut(probabilities.len());
    let classes = probabilities.iter().zip(logs).enumerate().skip(asked.start);
    for (values, (i, (&p, log))) in rows.zip(classes) {
        if is_special {
            values.fill(p);
            continue;
        }
        let scale = if op == Op::Jacobian { p } else { T::ONE };
        for (value, &other) in values.iter_mut().zip(probabilities) {
            *value = T::ZERO - scale * other;
        }
        let complement = if p.widen() > 0.5 { -log.widen().exp_m1() } else { 1.0 - p.widen() };
        if let Some(value) = values.get_mut(i) {
            *value = scale * T::narrow(complement);
        }
    }
}
