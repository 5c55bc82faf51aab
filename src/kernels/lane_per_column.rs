//! An axis that is not the last: one lane per row, neighbouring lanes on neighbouring rows.
//!
//! * Chosen for slabs that are wide ([`WIDE`](super::tile_of_columns::WIDE)) and columns that a lane holds, and on software adapters for all that a
//!   lane may walk; [`tile_of_columns`](super::tile_of_columns) has the others.
//! * Serves any inner size; rows as long as one invocation may walk ([`LONGEST`]).
//! * Reads every logit, and every element beside it, once where a lane holds its column ([`MOST_HELD`]
//!   classes, one block), otherwise three times (a block's second reading comes from the cache), two without a result
//!   per element. A 16-bit result costs two atomic operations on its half of a word.
//! * Without subgroups it also serves the shortest rows of an axis that is the last.

use super::{Entry, Geometry, MOST_HELD, MOST_QUADS, Meeting, Role, held, tile_of_columns, workgroup_up_to};
use crate::Capabilities;

pub(crate) const ENTRY: Entry = Entry {
    name: "lane_per_column",
    source: include_str!("../../shaders/kernels/lane_per_column.wgsl"),
    role: Role::Whole,
};

/// The longest row: three readings of it stay below [`MOST_TURNS`](super::MOST_TURNS).
pub(crate) const LONGEST: u64 = 16_384;

/// The longest row of a last axis that is served without subgroups: what a lane holds, and more than keeps half of
/// the narrowest workgroup busy.
pub(crate) const LONGEST_LAST_AXIS: u64 = MOST_HELD;

/// Classes in a chunk, here and where the column is split: by the row's length alone.
pub(crate) fn chunk(classes: u64) -> u64 {
    classes.div_ceil(1024).next_power_of_two().clamp(1024, LONGEST)
}

/// For columns of so many classes; where they are split, a lane holds nothing.
pub(crate) fn geometry(classes: u64, capabilities: &Capabilities) -> Geometry {
    let workgroup = workgroup_up_to(64, capabilities);
    Geometry { workgroup, lanes: 1, held: held(classes, 1, MOST_QUADS), meeting: Meeting::Alone }
}

/// The same, of an axis that is not the last: what a lane holds is added up as a tile would where the device has tiles, so
/// that a column has the same bits in wide slabs as in narrow ones.
pub(crate) fn geometry_across(classes: u64, capabilities: &Capabilities) -> Geometry {
    let geometry = geometry(classes, capabilities);
    let as_in_tile = geometry.held.is_some() && tile_of_columns::serves(classes, capabilities);
    Geometry { meeting: if as_in_tile { Meeting::AloneAsInTile } else { Meeting::Alone }, ..geometry }
}
