//! Long rows, second half: a workgroup per chunk joins its row's partial statistics and finishes the chunk.
//!
//! * Runs after [`split_row_statistics`](super::split_row_statistics) in the same pass, with the same
//!   geometry.
//! * Reads 16 bytes per chunk of the row (24, 40), and every logit and every element beside it once; writes the
//!   result. An operation with values of rows alone reads no logits.

use super::{Entry, Role};

pub(crate) const ENTRY: Entry = Entry {
    name: "split_row_write",
    source: include_str!("../../shaders/kernels/split_row_write.wgsl"),
    role: Role::Write,
};
