//! Long rows, first half: a workgroup per chunk leaves the chunk's statistics.
//!
//! * Needs inner = 1.
//! * Reads every logit, and every element beside it, twice, the second time from the cache; writes 16 bytes
//!   per chunk, 24 for products with a Jacobian, 40 for a loss.

use super::{Entry, Geometry, Role, workgroup_meeting, workgroup_up_to};
use crate::Capabilities;

pub(crate) const ENTRY: Entry = Entry {
    name: "split_row_statistics",
    source: include_str!("../../shaders/kernels/split_row_statistics.wgsl"),
    role: Role::Statistics,
};

/// Classes in a chunk: by the row's length alone, so that its bits depend on nothing else. At least four
/// chunks, at most about a thousand of them.
pub(crate) fn chunk(classes: u64) -> u64 {
    const COMMON: u64 = 16_384;
    if classes <= 4 * COMMON {
        classes.div_ceil(4).max(1)
    } else {
        classes.div_ceil(1024).next_power_of_two().max(COMMON)
    }
}

pub(crate) fn geometry(capabilities: &Capabilities) -> Geometry {
    let lanes = workgroup_up_to(256, capabilities);
    Geometry { workgroup: lanes, lanes, held: None, meeting: workgroup_meeting(lanes, capabilities) }
}
