//! Long rows, first half: a workgroup per chunk leaves the chunk's statistics; on a software adapter a workgroup is one
//! subgroup.
//!
//! * Needs inner = 1.
//! * Reads every logit, and every element beside it, once where a lane holds its part of a chunk, otherwise twice,
//!   the second time from the cache; writes 16 bytes
//!   per chunk, 24 for products with a Jacobian, 40 for a loss.

use super::{
    Entry, Geometry, MOST_HELD, MOST_QUADS, Meeting, QUAD, Role, held, workgroup_meeting, workgroup_up_to,
};
use crate::Capabilities;

pub(crate) const ENTRY: Entry = Entry {
    name: "split_row_statistics",
    source: include_str!("../../shaders/kernels/split_row_statistics.wgsl"),
    role: Role::Statistics,
};

/// Classes in a chunk, whole quads: by the row's length and the device alone, so that its bits depend on nothing else.
/// Two chunks at the least, at most about a thousand of them.
pub(crate) fn chunk(classes: u64, capabilities: &Capabilities) -> u64 {
    const COMMON: u64 = 16_384;
    let quads = |classes: u64| classes.next_multiple_of(QUAD).max(QUAD);
    if let Some(chunks) = held_chunks(classes, capabilities) {
        quads(classes.div_ceil(chunks))
    } else if classes <= 4 * COMMON {
        quads(classes.div_ceil(4))
    } else {
        classes.div_ceil(1024).next_power_of_two().max(COMMON)
    }
}

/// As many chunks as a subgroup of a software adapter can hold; `None` where there are so many of them that joining them
/// takes longer than holding them saves, and on other devices.
fn held_chunks(classes: u64, capabilities: &Capabilities) -> Option<u64> {
    let lanes = subgroup(classes, capabilities)?;
    let chunks = classes.div_ceil(u64::from(lanes) * MOST_HELD);
    (chunks <= 64).then_some(chunks.max(2))
}

/// The lanes of a chunk where a software adapter gives it a subgroup, which meets without barriers. The longest rows
/// have chunks of which that many lanes would take too many turns.
fn subgroup(classes: u64, capabilities: &Capabilities) -> Option<u32> {
    let lanes = capabilities.subgroup_lanes.filter(|&lanes| capabilities.software && lanes > 1)?;
    let lanes = lanes.min(capabilities.max_invocations);
    (lanes.is_power_of_two() && classes <= 1 << 26).then_some(lanes)
}

/// With what lanes hold of a chunk of the common length; `split_row_write` holds nothing.
pub(crate) fn geometry(classes: u64, capabilities: &Capabilities) -> Geometry {
    let chunk = chunk(classes, capabilities);
    if let Some(lanes) = subgroup(classes, capabilities) {
        let held = held(chunk, lanes, MOST_QUADS);
        return Geometry { workgroup: lanes, lanes, held, meeting: Meeting::Subgroup };
    }
    let lanes = workgroup_up_to(256, capabilities);
    let held = held(chunk, lanes, MOST_QUADS).map(|_| MOST_QUADS);
    Geometry { workgroup: lanes, lanes, held, meeting: workgroup_meeting(lanes, capabilities) }
}
