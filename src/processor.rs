//! The CPU as a device: the fast path behind the same calls as a GPU's.

use std::time::Duration;

use crate::cpu::{Real, compute_loss, compute_request, compute_rows};
use crate::cross_entropy::{ArrangedLoss, RowResults};
use crate::request::Arranged;
use crate::transfer::Clock;
use crate::{Element, Elements, ElementsMut, Output};

/// The CPU, with all the threads of rayon's global pool.
///
/// The same promises as on a GPU, for f32 and f64. A call into the caller's memory allocates nothing as large as
/// the data, unless the axes are not adjacent. Both precisions take the accurate path: memory is what limits it.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Cpu {}

impl Cpu {
    /// The CPU is always there.
    pub fn new() -> Self {
        Cpu {}
    }

    /// What reports call it.
    pub fn name(&self) -> String {
        format!("CPU ({}, {} thread(s))", std::env::consts::ARCH, threads())
    }

    /// Computes a request into a result of the right length, and tells how long that took.
    pub(crate) fn compute_arranged(&self, arranged: &Arranged<'_>, result: ElementsMut<'_>) -> Duration {
        let clock = Clock::start();
        match (arranged.logits, result) {
            (Elements::F32(logits), ElementsMut::F32(result)) if arranged.is_plain() => {
                compute_plain(arranged, logits, result);
            }
            (Elements::F64(logits), ElementsMut::F64(result)) if arranged.is_plain() => {
                compute_plain(arranged, logits, result);
            }
            (_, result) => compute_request(arranged, result),
        }
        clock.elapsed()
    }

    /// What is wanted of each row of a loss, and its gradient.
    pub(crate) fn loss_arranged<R: Element>(
        &self,
        loss: &ArrangedLoss<'_>,
        gradient: Option<&mut [R]>,
    ) -> RowResults<f64> {
        compute_loss(loss, gradient)
    }
}

/// An operation on logits alone, in their own type: nothing is copied where the axes are adjacent.
fn compute_plain<T: Real + Element>(arranged: &Arranged<'_>, logits: &[T], result: &mut [T]) {
    let Arranged { op, arrangement, options, .. } = arranged;
    let rows = &arrangement.rows;
    if !arrangement.is_permuted() {
        return compute_rows(*op, logits, rows, result, options);
    }
    let mut ordered = Vec::with_capacity(logits.len());
    arrangement.gather(logits, 0..rows.elements(), |piece| ordered.extend_from_slice(piece));
    match op.output() {
        Output::PerElement => {
            let mut answers = vec![T::default(); ordered.len()];
            compute_rows(*op, &ordered, rows, &mut answers, options);
            arrangement.scatter(&answers, 0, result);
        }
        _ => compute_rows(*op, &ordered, rows, result, options),
    }
}

#[cfg(not(target_arch = "wasm32"))]
fn threads() -> usize {
    rayon::current_num_threads()
}

#[cfg(target_arch = "wasm32")]
fn threads() -> usize {
    1
}
