//! Long columns, second half: a lane per chunk of each column joins the column's partial statistics and
//! finishes the chunk.
//!
//! * Runs after [`split_column_statistics`](super::split_column_statistics) in the same pass.
//! * Reads 16 bytes per chunk of the column (24, 40), and every logit and every element beside it once; writes
//!   the result.

use super::{Entry, Role};

pub(crate) const ENTRY: Entry = Entry {
    name: "split_column_write",
    source: include_str!("../../shaders/kernels/split_column_write.wgsl"),
    role: Role::Write,
};
