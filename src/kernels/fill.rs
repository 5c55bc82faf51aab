//! The memory written once: the limit of kernels that write much more than they read, such as a Jacobian's.
//!
//! * Each lane fills [`VECTORS`] vectors of four words, a workgroup's stride apart.
//! * Computes nothing; only benchmarks ask for it.

use super::{Entry, Role};

pub(crate) const ENTRY: Entry =
    Entry { name: "fill", source: include_str!("../../shaders/kernels/fill.wgsl"), role: Role::Fill };

/// Vectors of four words that a lane fills.
pub(crate) const VECTORS: u64 = 4;
