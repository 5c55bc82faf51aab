//! The CPU as a device: the fast path behind the same calls as a GPU's.

use std::time::Duration;

use crate::cpu::{compute_loss, compute_request, compute_rows, thread_count};
use crate::cross_entropy::{ArrangedLoss, LossPlaces, LossSums};
use crate::request::Arranged;
use crate::transfer::Clock;
use crate::{Dtype, Elements, ElementsMut};

/// The CPU: the thread that calls, and those of rayon's pool that are idle, as many together as the pool has.
///
/// The same promises as on a GPU, for all types: f16, bf16 and f32 are computed in f32, f64 in itself. A call into
/// the caller's memory allocates nothing as large as the data, unless that is one long row which has to be converted,
/// adjusted or permuted. Both precisions take the accurate path: memory is what limits it.
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
        format!("CPU ({}, {} thread(s))", std::env::consts::ARCH, thread_count())
    }

    /// Computes a request into a result of the right length, and tells how long that took.
    pub(crate) fn compute_arranged(&self, arranged: &Arranged<'_>, result: ElementsMut<'_>) -> Duration {
        let clock = Clock::start();
        let Arranged { op, arrangement, options, .. } = arranged;
        match (arranged.logits, result) {
            (Elements::F32(logits), ElementsMut::F32(result)) if is_in_place(arranged) => {
                compute_rows(*op, logits, &arrangement.rows, result, options);
            }
            (Elements::F64(logits), ElementsMut::F64(result)) if is_in_place(arranged) => {
                compute_rows(*op, logits, &arrangement.rows, result, options);
            }
            (_, result) => compute_request(arranged, result),
        }
        clock.elapsed()
    }

    /// What is wanted of each row of a loss whose results are of a type; and what the losses sum to where they are
    /// reduced.
    pub(crate) fn loss_arranged(
        &self,
        loss: &ArrangedLoss<'_>,
        results: Dtype,
        places: LossPlaces<'_>,
    ) -> LossSums {
        compute_loss(loss, results, places)
    }
}

/// Whether logits of the type that is computed in can be read, and the result written, where they lie.
fn is_in_place(arranged: &Arranged<'_>) -> bool {
    arranged.is_plain() && !arranged.arrangement.is_permuted()
}
