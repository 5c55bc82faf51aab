//! Before a mean loss of labels that only the device knows: how many rows count, what they weigh, and which
//! label names no class.
//!
//! * One workgroup, at most [`most_rows`] rows.
//! * Reads every label once (1, 4 or 8 bytes a row) and its class's weight; writes 24 bytes.

use super::{Entry, Geometry, MOST_TURNS, Meeting, Role, workgroup_up_to};
use crate::Capabilities;

pub(crate) const ENTRY: Entry =
    Entry { name: "tally", source: include_str!("../../shaders/kernels/tally.wgsl"), role: Role::Labels };

pub(crate) fn geometry(capabilities: &Capabilities) -> Geometry {
    let workgroup = workgroup_up_to(256, capabilities);
    Geometry { workgroup, lanes: workgroup, held: None, meeting: Meeting::Workgroup }
}

/// Rows that one workgroup walks, its three loops together.
pub(crate) fn most_rows(capabilities: &Capabilities) -> u64 {
    u64::from(geometry(capabilities).workgroup) * (MOST_TURNS * 15 / 16)
}
