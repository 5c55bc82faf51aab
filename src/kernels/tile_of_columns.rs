//! An axis that is not the last: a workgroup takes a tile of neighbouring columns, with several lanes for each.
//!
//! * Needs nothing beyond what WebGPU grants: the lanes of a column meet in workgroup memory.
//! * Serves any inner size. A tile has as many columns of a slab as there is room for; where a slab has fewer, several
//!   whole slabs, which follow each other in memory.
//! * Lane l of L takes the classes l, l + L, …, four of them a turn. Lanes are ordered by column, class and slab: each
//!   load of a workgroup covers stretches of L·inner neighbours (of as many as a tile has columns, where inner is more),
//!   and the four of a turn together 4·L·inner, whole slabs where columns are short.
//! * L is 16, or as many as there are quads in a column of up to 64 classes: by its length alone, so that its bits depend
//!   on nothing else. [`lane_per_column`](super::lane_per_column) adds up a short column in the same order where it takes
//!   it from wide slabs.
//! * Reads every logit, and every element beside it, once, since lanes hold their share ([`LONGEST`]); writes each result
//!   once: f32 results directly where a stretch fills a line of [`FILLED_LINE`] bytes, otherwise through 16 bytes of
//!   workgroup memory a lane, in the order in which they lie. A 16-bit result costs a second reading, from the cache, and
//!   two atomic operations on its half of a word.
//! * Not chosen on software adapters, which have no lines to share and pay for each barrier.

use super::{Entry, Geometry, MOST_HELD, MOST_QUADS, Meeting, QUAD, Role, held, workgroup_up_to};
use crate::Capabilities;

pub(crate) const ENTRY: Entry = Entry {
    name: "tile_of_columns",
    source: include_str!("../../shaders/kernels/tile_of_columns.wgsl"),
    role: Role::Whole,
};

/// The most lanes that a column has: few enough for each of them to go through what all have found.
pub(crate) const MOST_LANES: u32 = 16;

/// The longest column that its lanes hold.
pub(crate) const LONGEST: u64 = MOST_HELD * MOST_LANES as u64;

/// Slabs that are narrower than this have too few neighbours for a lane alone: half of them would share a line of memory
/// with another class.
pub(crate) const WIDE: u64 = 64;

/// What a store of neighbouring lanes should fill of memory without a break.
pub(crate) const FILLED_LINE: u64 = 128;

/// The most invocations of a workgroup.
const WORKGROUP: u32 = 256;

/// Words of workgroup memory that a lane has at the most: a sum of a loss, and four results.
const WORDS_OF_A_LANE: u64 = 12;

/// The longest column of which classes can be counted in 32 bits by steps of a tile's lanes.
const LONGEST_SPLIT: u64 = 1 << 31;

/// Whether columns of so many classes are laid out in tiles, whole or in chunks: by their length alone.
pub(crate) fn serves(classes: u64, capabilities: &Capabilities) -> bool {
    !capabilities.software
        && most_invocations(capabilities) >= MOST_LANES
        && (1..=LONGEST_SPLIT).contains(&classes)
}

/// Lanes of a column: what a lane of a short one takes is one quad.
pub(crate) fn lanes(classes: u64) -> u32 {
    classes.div_ceil(QUAD).clamp(1, u64::from(MOST_LANES)) as u32
}

/// Classes in a chunk of a column that is split: such as lanes hold, about the same in each chunk, as long as there are
/// few enough chunks for each workgroup to go through all of them; then longer ones.
pub(crate) fn chunk(classes: u64) -> u64 {
    const MOST_CHUNKS: u64 = 128;
    let turn = QUAD * u64::from(MOST_LANES);
    if classes <= LONGEST {
        classes.max(1)
    } else if classes <= MOST_CHUNKS * LONGEST {
        classes.div_ceil(classes.div_ceil(LONGEST)).next_multiple_of(turn)
    } else {
        classes.div_ceil(MOST_CHUNKS).next_power_of_two().min(256 * LONGEST)
    }
}

/// For columns, or chunks of columns, of so many classes, `inner` of them in a slab; or why there is none.
pub(crate) fn geometry(classes: u64, inner: u64, capabilities: &Capabilities) -> Result<Geometry, String> {
    let lanes = lanes(classes);
    with_lanes(lanes, inner, capabilities).and_then(|geometry| {
        let held = held(classes, lanes, MOST_QUADS).ok_or_else(|| {
            format!("{classes} classes are more than the {LONGEST} that {lanes} lanes hold")
        })?;
        Ok(Geometry { held: Some(held), ..geometry })
    })
}

/// For chunks of columns of so many classes, which lanes hold where they can.
pub(crate) fn geometry_of_chunks(
    classes: u64,
    inner: u64,
    capabilities: &Capabilities,
) -> Result<Geometry, String> {
    let lanes = lanes(classes);
    // One text for all chunks but those of the shortest columns.
    let held = held(chunk(classes), lanes, MOST_QUADS).map(|_| MOST_QUADS);
    Ok(Geometry { held, ..with_lanes(lanes, inner, capabilities)? })
}

/// A tile with no more invocations than have a column to work on, but for what fills a subgroup of 32.
pub(crate) fn with_lanes(lanes: u32, inner: u64, capabilities: &Capabilities) -> Result<Geometry, String> {
    let most = most_invocations(capabilities);
    if lanes > most {
        return Err(format!("a workgroup of {most} has no room for the {lanes} lanes of a column"));
    }
    let tile = Tile::of(most, lanes, inner);
    let seats = (tile.slabs * tile.columns) as u32 * lanes;
    let workgroup = seats.next_multiple_of(32).min(most);
    Ok(Geometry { workgroup, lanes, held: None, meeting: Meeting::Tile })
}

/// As far as their number, the device's limit and its workgroup memory allow.
fn most_invocations(capabilities: &Capabilities) -> u32 {
    let by_memory = capabilities.workgroup_bytes / (4 * WORDS_OF_A_LANE);
    workgroup_up_to(WORKGROUP.min(by_memory.min(u64::from(WORKGROUP)) as u32), capabilities)
}

/// What a workgroup takes of slabs that have so many columns (`tile.wgsl`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tile {
    /// Columns that stand side by side.
    pub(crate) columns: u64,
    /// Slabs.
    pub(crate) slabs: u64,
    /// Tiles that a slab is wide.
    pub(crate) across: u64,
}

impl Tile {
    pub(crate) fn of(workgroup: u32, lanes: u32, columns: u64) -> Self {
        let room = u64::from(workgroup / lanes);
        let side_by_side = columns.clamp(1, room);
        Tile { columns: side_by_side, slabs: room / side_by_side, across: columns.div_ceil(side_by_side) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_leave_few_lanes_idle() {
        let device = Capabilities::webgpu_defaults();
        for classes in [1, 3, 4, 5, 8, 10, 16, 17, 33, 64, 65, 200, 1024] {
            for inner in (1..64).chain([100, 1000]) {
                let Geometry { workgroup, lanes, .. } = geometry(classes, inner, &device).unwrap();
                let tile = Tile::of(workgroup, lanes, inner);
                let busy = tile.columns * tile.slabs * u64::from(lanes);
                assert!(busy <= u64::from(workgroup), "{classes} × {inner}");
                assert!(busy * 4 >= u64::from(workgroup) * 3, "{classes} × {inner}: {busy} of {workgroup}");
                assert!(tile.across * tile.columns >= inner);
            }
        }
    }

    #[test]
    fn workgroup_memory_bounds_a_tile() {
        let mut device = Capabilities::webgpu_defaults();
        for (bytes, workgroup) in [(16_384, 256), (12_288, 256), (12_287, 128), (1024, 16)] {
            device.workgroup_bytes = bytes;
            assert_eq!(geometry(500, 1000, &device).unwrap().workgroup, workgroup);
            assert!(serves(500, &device));
        }
        device.workgroup_bytes = 100;
        assert!(!serves(500, &device) && geometry(500, 1000, &device).is_err());
    }
}
