//! The memory read once: the limit of kernels that read much more than they write, such as a log-sum-exp's.
//!
//! * Each lane reads [`VECTORS`] vectors of four words, a workgroup's stride apart, and writes one word.
//! * Only benchmarks ask for it.

use super::{Entry, Role};

pub(crate) const ENTRY: Entry =
    Entry { name: "load", source: include_str!("../../shaders/kernels/load.wgsl"), role: Role::Load };

/// Vectors of four words that a lane reads.
pub(crate) const VECTORS: u64 = 8;
