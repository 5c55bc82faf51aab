//! Short rows, several per workgroup, whose lanes meet without workgroup memory.
//!
//! * Needs subgroups.
//! * A power of two of lanes, at most the device's smallest subgroup, shares a row: lane l of L takes the
//!   quads l, l + L, … of four neighbouring classes, one each for the shortest rows.
//! * Reads every logit, and every element beside it (cotangent, tangent, weight, target probability), once where
//!   a lane holds at most [`MOST_HELD`](super::MOST_HELD) of them, twice as many on a software adapter without masks,
//!   otherwise once per pass; every element of a mask once for each time its logit is read. Writes each result once; a
//!   loss leaves 4 bytes a row for each of its values.
//! * Bytes for an f32 row of K: 8·K for softmax, 4·K + 4 for log-sum-exp and for a loss, 12·K for products with
//!   a Jacobian, 8·K + 4 for a loss with its gradient; half as many for 16-bit elements, of which a result's
//!   logits are read a second time, from the cache, by the lane that stores its word, where quads do not lie at
//!   multiples of four.
//! * f32 results of rows that do not lie at quads are stored through 16 bytes of workgroup memory a lane, but not on
//!   a software adapter.

use super::{
    Entry, Geometry, MOST_HELD, MOST_QUADS, MOST_TURNS, Meeting, QUAD, Role, held, per_lane, workgroup_up_to,
};
use crate::Capabilities;

pub(crate) const ENTRY: Entry = Entry {
    name: "subgroup_per_row",
    source: include_str!("../../shaders/kernels/subgroup_per_row.wgsl"),
    role: Role::Whole,
};

/// The longest row that this kernel is chosen for.
///
/// A software adapter has no use for more lanes than one subgroup, and pays dearly for every barrier: it takes all rows
/// that the lanes can hold, masked or not, of which two dispatches would take longer still where they are few; and a
/// thousand classes however narrow its subgroups are.
pub(crate) fn longest(capabilities: &Capabilities) -> u64 {
    match capabilities.subgroup_lanes.map(u64::from) {
        None => 0,
        Some(lanes) if capabilities.software => (2 * MOST_HELD * lanes).max(1024),
        Some(lanes) => 8 * QUAD * lanes,
    }
}

/// For rows of so many classes. The `masked` ones' texts are long, and a driver that writes each turn out takes its time
/// to compile them: its lanes hold no more of such rows than others' do.
pub(crate) fn geometry(classes: u64, masked: bool, capabilities: &Capabilities) -> Result<Geometry, String> {
    let Some(subgroup) = capabilities.subgroup_lanes else {
        return Err("the device has no subgroup operations".into());
    };
    let wanted = classes.div_ceil(QUAD).clamp(1, u64::from(subgroup)) as u32;
    let most = wanted.next_power_of_two();
    let most_quads = if capabilities.software && !masked { 2 * MOST_QUADS } else { MOST_QUADS };
    let lanes = if capabilities.software { busiest(classes, most, most_quads) } else { most };
    let per_lane = per_lane(classes, lanes);
    if per_lane * 3 + per_lane / 16 > MOST_TURNS {
        return Err(format!("{classes} classes are too many for the {lanes} lanes of a subgroup"));
    }
    let workgroup = workgroup_up_to(256, capabilities).max(lanes);
    Ok(Geometry { workgroup, lanes, held: held(classes, lanes, most_quads), meeting: Meeting::Subgroup })
}

/// Of the numbers of lanes up to `most`, that which leaves the fewest of them idle, the larger one of two. Where
/// memory is waited for, idle lanes cost little and whole rows are stored best; a software adapter computes
/// for each of them.
fn busiest(classes: u64, most: u32, most_quads: u32) -> u32 {
    let quads = |lanes: u32| held(classes, lanes, most_quads).map(|held| held * lanes);
    (0..=most.ilog2())
        .rev()
        .map(|log| 1 << log)
        .filter(|&lanes| quads(lanes).is_some())
        .min_by_key(|&lanes| quads(lanes))
        .unwrap_or(most)
}
