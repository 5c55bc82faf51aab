//! Rows of middling length, one workgroup each.
//!
//! * Needs nothing: lanes meet by shuffles and workgroup memory, or by workgroup memory alone.
//! * Lane l of L takes the quads l, l + L, … of four neighbouring classes.
//! * Reads every logit, and every element beside it, once where a lane holds at most
//!   [`MOST_HELD`](super::MOST_HELD) of them, otherwise once per pass, the later ones from the cache. The bytes
//!   are those of [`subgroup_per_row`](super::subgroup_per_row).

use super::{
    Entry, Geometry, MOST_HELD, MOST_QUADS, MOST_TURNS, QUAD, Role, held, per_lane, workgroup_meeting,
    workgroup_up_to,
};
use crate::Capabilities;

pub(crate) const ENTRY: Entry = Entry {
    name: "workgroup_per_row",
    source: include_str!("../../shaders/kernels/workgroup_per_row.wgsl"),
    role: Role::Whole,
};

/// Lanes of the longest rows, which leave each half of the registers that a lane may have.
pub(crate) const MOST_LANES: u32 = 512;

/// The longest row that this kernel is chosen for.
pub(crate) fn longest(capabilities: &Capabilities) -> u64 {
    MOST_HELD * u64::from(workgroup_up_to(MOST_LANES, capabilities))
}

pub(crate) fn geometry(classes: u64, capabilities: &Capabilities) -> Result<Geometry, String> {
    // More lanes than must be for long rows: more loads under way, fewer registers each.
    let most = workgroup_up_to(if classes <= 8192 { 256 } else { MOST_LANES }, capabilities);
    let wanted = classes.div_ceil(2 * QUAD).clamp(1, u64::from(most)) as u32;
    let lanes = wanted.next_power_of_two().max(32.min(most));
    let per_lane = per_lane(classes, lanes);
    if per_lane * 3 + per_lane / 16 > MOST_TURNS {
        return Err(format!("{classes} classes are too many for the {lanes} lanes of a workgroup"));
    }
    let meeting = workgroup_meeting(lanes, capabilities);
    Ok(Geometry { workgroup: lanes, lanes, held: held(classes, lanes, MOST_QUADS), meeting })
}
