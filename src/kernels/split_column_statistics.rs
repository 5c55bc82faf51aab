//! Long columns, first half: a lane per chunk of each column leaves the chunk's statistics.
//!
//! * For inner > 1, with the geometry of [`lane_per_column`](super::lane_per_column).
//! * Reads every logit, and every element beside it, twice, the second time from the cache; writes 16 bytes
//!   per chunk and column, 24 for products with a Jacobian, 40 for a loss.

use super::{Entry, Role};

pub(crate) const ENTRY: Entry = Entry {
    name: "split_column_statistics",
    source: include_str!("../../shaders/kernels/split_column_statistics.wgsl"),
    role: Role::Statistics,
};
