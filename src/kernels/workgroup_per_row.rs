//! Rows of middling length, one workgroup each.
//!
//! * Needs nothing: lanes meet by shuffles and workgroup memory, or by workgroup memory alone.
//! * Lane l of L takes the classes l, l + L, …
//! * Reads every logit, and every element beside it, once where a lane holds at most
//!   [`MOST_HELD`](super::MOST_HELD) of them, otherwise once per pass, the later ones from the cache. The bytes
//!   are those of [`subgroup_per_row`](super::subgroup_per_row).

use super::{Entry, Geometry, MOST_TURNS, Role, held, workgroup_meeting, workgroup_up_to};
use crate::Capabilities;

pub(crate) const ENTRY: Entry = Entry {
    name: "workgroup_per_row",
    source: include_str!("../../shaders/kernels/workgroup_per_row.wgsl"),
    role: Role::Whole,
};

/// The longest row that this kernel is chosen for.
pub(crate) fn longest(capabilities: &Capabilities) -> u64 {
    64 * u64::from(workgroup_up_to(256, capabilities))
}

pub(crate) fn geometry(classes: u64, capabilities: &Capabilities) -> Result<Geometry, String> {
    let most = workgroup_up_to(256, capabilities);
    let wanted = classes.div_ceil(8).clamp(1, u64::from(most)) as u32;
    let lanes = wanted.next_power_of_two().max(32.min(most));
    let per_lane = classes.div_ceil(u64::from(lanes));
    if per_lane * 3 + per_lane / 16 > MOST_TURNS {
        return Err(format!("{classes} classes are too many for the {lanes} lanes of a workgroup"));
    }
    let meeting = workgroup_meeting(lanes, capabilities);
    Ok(Geometry { workgroup: lanes, lanes, held: held(per_lane), meeting })
}
