//! The memory read and written once: the limit of kernels with as much to write as to read.
//!
//! * Each lane copies [`VECTORS`] vectors of four words, a workgroup's stride apart.
//! * Computes nothing; only benchmarks ask for it.

use super::{Entry, Role};

pub(crate) const ENTRY: Entry =
    Entry { name: "copy", source: include_str!("../../shaders/kernels/copy.wgsl"), role: Role::Copy };

/// Vectors of four words that a lane copies.
pub(crate) const VECTORS: u64 = 4;
