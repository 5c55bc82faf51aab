//! The Jacobians of softmax and of log-softmax, made of a row's probabilities.
//!
//! On the diagonal stands 1 − pᵢ. Where pᵢ is more than a half that would cancel, and its logarithm, that of the
//! greatest probability, has the digits: 1 − pᵢ = −expm1(log pᵢ). Elsewhere the subtraction loses nothing.

use crate::{Op, Options, Rows};

use super::instruction_set::{InstructionSet, Machine, Task};
use super::lanes::{LANES, Lanes, chunk_of, store};
use super::real::Real;
use super::vectors::Vector;
use super::{compute_rows_with, for_each_logarithm, threads};

/// Computes the Jacobian of every row of a compact `rows × classes` batch.
pub(super) fn compute<T: Real>(
    instructions: InstructionSet,
    op: Op,
    logits: &[T],
    rows: &Rows,
    result: &mut [T],
    options: &Options,
) {
    let classes = rows.classes() as usize;
    let asked = rows.jacobian_rows().start as usize..rows.jacobian_rows().end as usize;
    let Some(pairs) = asked.len().checked_mul(classes).filter(|&pairs| pairs > 0) else { return };
    let rows_per_task = threads::rows_per_task(result.len() / pairs, pairs);
    threads::map_pieces(result, rows_per_task * pairs, &|task, result| {
        let logits = logits.get(task * rows_per_task * classes..).unwrap_or_default();
        let count = (result.len() / pairs).min(logits.len() / classes);
        let Ok(block) = Rows::batch(count as u64, classes as u64) else { return };
        let mut probabilities = vec![T::ZERO; count * classes];
        let logits = &logits[..count * classes];
        compute_rows_with(instructions, Op::Softmax, logits, &block, &mut probabilities, options);
        let log_sums = log_sums(instructions, logits, classes);
        let rows = probabilities.chunks(classes).zip(&log_sums).zip(result.chunks_exact_mut(pairs));
        for ((probabilities, &log_sum), jacobian) in rows {
            let rows_per_piece = threads::rows_per_task(asked.len(), classes);
            threads::map_pieces(jacobian, rows_per_piece * classes, &|piece, jacobian| {
                let first = asked.start + piece * rows_per_piece;
                instructions.run(JacobianRows { op, probabilities, log_sum, first, jacobian });
            });
        }
    });
}

/// log Σ exp(x − maximum) of each row.
pub(super) fn log_sums<T: Real>(instructions: InstructionSet, logits: &[T], classes: usize) -> Vec<f64> {
    let mut log_sums = Vec::with_capacity(logits.len() / classes.max(1));
    for_each_logarithm(instructions, logits, classes, &mut |_, _, of_rows| {
        log_sums.extend_from_slice(of_rows)
    });
    log_sums
}

/// Some rows of the Jacobian of a row of probabilities, from a first one on. NaN throughout where the probabilities
/// are, and 0 where they are all 0.
pub(super) struct JacobianRows<'a, T> {
    pub(super) op: Op,
    pub(super) probabilities: &'a [T],
    /// The logarithm of the greatest probability is minus this.
    pub(super) log_sum: f64,
    pub(super) first: usize,
    pub(super) jacobian: &'a mut [T],
}

impl<T: Real> Task for JacobianRows<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<M: Machine>(self, machine: M) {
        let JacobianRows { op, probabilities, log_sum, first, jacobian } = self;
        let classes = probabilities.len();
        if !probabilities.iter().any(|&p| p > T::ZERO) {
            return jacobian.fill(probabilities.first().copied().unwrap_or(T::ZERO));
        }
        let zero = Lanes::<T, M>::splat(machine, T::ZERO);
        let (chunks, rest) = probabilities.as_chunks::<LANES>();
        let last: Lanes<T, M> = chunk_of(machine, rest, rest.len());
        for (index, start) in (0..jacobian.len()).step_by(classes).enumerate() {
            let Some(&p) = probabilities.get(first + index) else { return };
            let scale = if op == Op::Jacobian { p } else { T::ONE };
            let scales = Lanes::<T, M>::splat(machine, scale);
            let (of_chunks, of_rest) = jacobian[start..].split_at_mut(classes - rest.len());
            for (places, chunk) in of_chunks.as_chunks_mut::<LANES>().0.iter_mut().zip(chunks) {
                zero.minus(scales.times(Vector::load(machine, chunk))).store(places);
            }
            // What is written behind the row is in the next one, which is written next.
            if !rest.is_empty() {
                store(zero.minus(scales.times(last)), rest.len(), of_rest);
            }
            let complement = if p.widen() > 0.5 { 0.0 - (-log_sum).exp_m1() } else { 1.0 - p.widen() };
            if let Some(value) = jacobian.get_mut(start + first + index) {
                *value = scale * T::narrow(complement);
            }
        }
    }
}
