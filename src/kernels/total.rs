//! After a loss: the sum of the rows' shares of it.
//!
//! * One workgroup, with the geometry and the limits of [`tally`](super::tally).
//! * Reads 4 bytes a row; writes 4.

use super::{Entry, Role};

pub(crate) const ENTRY: Entry =
    Entry { name: "total", source: include_str!("../../shaders/kernels/total.wgsl"), role: Role::RowValues };
