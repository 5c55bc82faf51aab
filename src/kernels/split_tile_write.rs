//! Long columns, second half: the lanes of a tile's columns join the partial statistics of each and finish a chunk of it.
//!
//! * Runs after [`split_tile_statistics`](super::split_tile_statistics) in the same pass, with the same tiles.
//! * Reads 16 bytes per chunk of the column (24, 40), and every logit and every element beside it once; writes the
//!   result.

use super::{Entry, Role};

pub(crate) const ENTRY: Entry = Entry {
    name: "split_tile_write",
    source: include_str!("../../shaders/kernels/split_tile_write.wgsl"),
    role: Role::Write,
};
