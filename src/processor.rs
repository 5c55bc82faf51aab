//! The CPU as a device: the fast path behind the same calls as a GPU's.

use std::time::Duration;

use crate::arrangement::Arrangement;
use crate::cpu::compute_rows;
use crate::transfer::Clock;
use crate::{Element, Op, Options, Rows};

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

    /// Computes over an array whose lengths have been checked, and tells how long that took.
    pub(crate) fn compute_arranged<T: Element>(
        &self,
        op: Op,
        logits: &[T],
        arrangement: &Arrangement,
        result: &mut [T],
        options: &Options,
    ) -> Duration {
        let clock = Clock::start();
        let rows: &Rows = &arrangement.rows;
        if arrangement.is_permuted() {
            let mut ordered = Vec::with_capacity(logits.len());
            arrangement.gather(logits, 0..rows.elements(), |piece| ordered.extend_from_slice(piece));
            match op.output() {
                crate::Output::PerRow | crate::Output::PerPair => {
                    compute_rows(op, &ordered, rows, result, options)
                }
                crate::Output::PerElement => {
                    let mut answers = vec![T::default(); ordered.len()];
                    compute_rows(op, &ordered, rows, &mut answers, options);
                    arrangement.scatter(&answers, 0, result);
                }
            }
        } else {
            compute_rows(op, logits, rows, result, options);
        }
        clock.elapsed()
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
