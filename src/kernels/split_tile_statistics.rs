//! Long columns, first half: a workgroup per chunk of each tile of columns leaves the chunks' statistics.
//!
//! * For inner > 1, not on software adapters; with the lanes of [`tile_of_columns`](super::tile_of_columns), which load
//!   what lies side by side.
//! * Reads every logit, and every element beside it, once where lanes hold a chunk (columns of up to 131,072 classes),
//!   otherwise twice, the second time from the cache; writes 16 bytes per chunk and column, 24 for products with a
//!   Jacobian, 40 for a loss.

use super::{Entry, Role};

pub(crate) const ENTRY: Entry = Entry {
    name: "split_tile_statistics",
    source: include_str!("../../shaders/kernels/split_tile_statistics.wgsl"),
    role: Role::Statistics,
};
