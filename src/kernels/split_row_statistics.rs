//! Long rows, first half: a workgroup per chunk leaves the chunk's statistics.
//!
//! * Needs inner = 1.
//! * Reads every logit, and every element beside it, once where a lane holds its part of a chunk, otherwise twice,
//!   the second time from the cache; writes 16 bytes
//!   per chunk, 24 for products with a Jacobian, 40 for a loss.

use super::{Entry, Geometry, QUAD, Role, held, workgroup_meeting, workgroup_up_to};
use crate::Capabilities;

pub(crate) const ENTRY: Entry = Entry {
    name: "split_row_statistics",
    source: include_str!("../../shaders/kernels/split_row_statistics.wgsl"),
    role: Role::Statistics,
};

/// Classes in a chunk, whole quads: by the row's length alone, so that its bits depend on nothing else. About four
/// chunks at the least, at most about a thousand of them.
pub(crate) fn chunk(classes: u64) -> u64 {
    const COMMON: u64 = 16_384;
    if classes <= 4 * COMMON {
        classes.div_ceil(4).next_multiple_of(QUAD).max(QUAD)
    } else {
        classes.div_ceil(1024).next_power_of_two().max(COMMON)
    }
}

/// With what lanes hold of a chunk of the common length; `split_row_write` holds nothing.
pub(crate) fn geometry(classes: u64, capabilities: &Capabilities) -> Geometry {
    let lanes = workgroup_up_to(256, capabilities);
    let held = held(chunk(classes), lanes).map(|_| *super::HELD.last().unwrap_or(&1));
    Geometry { workgroup: lanes, lanes, held, meeting: workgroup_meeting(lanes, capabilities) }
}
