//! The kernels: one file here for every entry point in `shaders/kernels/`, of the same name.
//!
//! Each states what it needs, how it lays rows on the machine and what it moves, and turns a row length
//! into a [`Geometry`]. None of them touches a device.

use std::fmt;

use crate::Capabilities;
use tile_of_columns::Tile;

pub(crate) mod copy;
pub(crate) mod exponential_check;
pub(crate) mod fill;
pub(crate) mod jacobian;
pub(crate) mod lane_per_column;
pub(crate) mod load;
pub(crate) mod shuffle_check;
pub(crate) mod split_column_statistics;
pub(crate) mod split_column_write;
pub(crate) mod split_row_statistics;
pub(crate) mod split_row_write;
pub(crate) mod split_tile_statistics;
pub(crate) mod split_tile_write;
pub(crate) mod subgroup_per_row;
pub(crate) mod tally;
pub(crate) mod tile_of_columns;
pub(crate) mod total;
pub(crate) mod workgroup_per_row;

/// How rows are laid on the machine.
///
/// The plan chooses; [`Options::kernel`](crate::Options::kernel) overrides it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kernel {
    /// Short rows: a subgroup, or a part of one, takes a row and meets in shuffles.
    SubgroupPerRow,
    /// A workgroup takes a row.
    WorkgroupPerRow,
    /// Rows too long for one workgroup or one lane, or longer than a binding: statistics of chunks
    /// first, then the chunks' results.
    SplitRow,
    /// One lane walks one row: for an axis that is not the last, where slabs are wide or the adapter computes on the
    /// CPU.
    LanePerColumn,
    /// A workgroup takes a tile of neighbouring rows, several lanes each: for an axis that is not the last.
    TileOfColumns,
    /// A workgroup takes a row's statistics and writes a block of its Jacobian: for Jacobians alone.
    Jacobian,
}

impl Kernel {
    /// The kernels to choose from for an operation that is no Jacobian, shortest rows first.
    pub const ROW_WISE: [Kernel; 5] = [
        Kernel::SubgroupPerRow,
        Kernel::WorkgroupPerRow,
        Kernel::SplitRow,
        Kernel::LanePerColumn,
        Kernel::TileOfColumns,
    ];

    /// The name used in reports.
    pub fn name(self) -> &'static str {
        match self {
            Kernel::SubgroupPerRow => "subgroup_per_row",
            Kernel::WorkgroupPerRow => "workgroup_per_row",
            Kernel::SplitRow => "split_row",
            Kernel::LanePerColumn => "lane_per_column",
            Kernel::TileOfColumns => "tile_of_columns",
            Kernel::Jacobian => "jacobian",
        }
    }
}

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// An entry point: its name, which is its file's, and its text.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) name: &'static str,
    pub(crate) source: &'static str,
    /// What it does with the buffers beside its parameters.
    pub(crate) role: Role,
}

/// Every entry point.
pub(crate) const ENTRIES: [&Entry; 18] = [
    &subgroup_per_row::ENTRY,
    &workgroup_per_row::ENTRY,
    &split_row_statistics::ENTRY,
    &split_row_write::ENTRY,
    &split_tile_statistics::ENTRY,
    &split_tile_write::ENTRY,
    &split_column_statistics::ENTRY,
    &split_column_write::ENTRY,
    &lane_per_column::ENTRY,
    &tile_of_columns::ENTRY,
    &jacobian::ENTRY,
    &tally::ENTRY,
    &total::ENTRY,
    &exponential_check::ENTRY,
    &shuffle_check::ENTRY,
    &copy::ENTRY,
    &fill::ENTRY,
    &load::ENTRY,
];

/// What an entry point does, which decides on its bindings and on the shader parts it is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Logits in, result out.
    Whole,
    /// Logits in, partial statistics out.
    Statistics,
    /// Partial statistics and logits in, result out.
    Write,
    /// The device's exponential, at points given as logits.
    Check,
    /// Words in, what lanes make of them together out.
    Shuffles,
    /// Labels in, a tally out.
    Labels,
    /// Values of rows in, a tally out.
    RowValues,
    /// Words in, the same words out.
    Copy,
    /// Words out.
    Fill,
    /// Words in, a word of each lane out.
    Load,
}

impl Role {
    /// Whether it knows nothing but words: neither parameters nor any part of an operation belong to it.
    pub(crate) fn stands_alone(self) -> bool {
        matches!(self, Role::Copy | Role::Fill | Role::Load | Role::Shuffles)
    }
}

/// How the lanes that share a row find its maximum and its sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Meeting {
    /// They don't: a lane has the row to itself.
    Alone,
    /// They don't, but the lane adds up the row in the order in which the lanes of a tile would.
    AloneAsInTile,
    /// By subgroup shuffles alone.
    Subgroup,
    /// Through workgroup memory.
    Workgroup,
    /// Through workgroup memory, beside the lanes of neighbouring columns.
    Tile,
    /// By shuffles among this many neighbours, then through workgroup memory.
    WorkgroupBySubgroups {
        /// The device's smallest subgroup.
        shuffled: u32,
    },
}

impl Meeting {
    /// Whether a row has but one lane.
    pub(crate) fn is_alone(self) -> bool {
        matches!(self, Meeting::Alone | Meeting::AloneAsInTile)
    }
}

/// How one entry point is laid on the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Geometry {
    /// Invocations in a workgroup.
    pub(crate) workgroup: u32,
    /// Invocations that share a row.
    pub(crate) lanes: u32,
    /// Quads of logits that a lane keeps in registers; `None` where it reads them anew in each pass.
    pub(crate) held: Option<u32>,
    /// How the lanes of a row meet.
    pub(crate) meeting: Meeting,
}

impl Geometry {
    /// Workgroups that so many slabs of `columns` rows take, or of their chunks.
    pub(crate) fn workgroups(&self, slabs: u64, columns: u64, chunks: u64) -> u64 {
        if self.meeting == Meeting::Tile {
            let tile = Tile::of(self.workgroup, self.lanes, columns);
            return slabs.div_ceil(tile.slabs) * tile.across * chunks;
        }
        (slabs * columns * chunks).div_ceil(u64::from(self.workgroup / self.lanes))
    }

    /// Slabs of `columns` rows, or of their chunks, that so many workgroups take.
    pub(crate) fn slabs_of(&self, workgroups: u64, columns: u64, chunks: u64) -> u64 {
        if self.meeting == Meeting::Tile {
            let tile = Tile::of(self.workgroup, self.lanes, columns);
            return (workgroups / (tile.across * chunks)).saturating_mul(tile.slabs);
        }
        workgroups.saturating_mul(u64::from(self.workgroup / self.lanes)) / (columns * chunks)
    }

    /// Whether lanes that are neighbours finish fewer neighbours of a word each than fill a line of memory, although more
    /// of them lie beside each other in what the workgroup finishes at once.
    pub(crate) fn stores_in_fragments(&self, inner: u64) -> bool {
        let tile = Tile::of(self.workgroup, self.lanes, inner);
        let stretch = 4 * inner * u64::from(self.lanes);
        self.meeting != Meeting::Tile || tile.columns == inner && stretch < tile_of_columns::FILLED_LINE
    }

    /// The same kernel with so many lanes for each row of `classes`, or why it has none such.
    ///
    /// A kernel that splits rows keeps its lanes, since what they take goes by the chunk.
    pub(crate) fn with_lanes(
        self,
        lanes: u32,
        classes: u64,
        capabilities: &Capabilities,
    ) -> Result<Geometry, String> {
        if lanes == self.lanes {
            return Ok(self);
        }
        let most = match self.meeting {
            Meeting::Alone | Meeting::AloneAsInTile => 1,
            Meeting::Tile => tile_of_columns::MOST_LANES,
            Meeting::Subgroup => capabilities.subgroup_lanes.unwrap_or(1),
            Meeting::Workgroup => LANES_WITHOUT_SUBGROUPS.min(capabilities.max_invocations),
            Meeting::WorkgroupBySubgroups { .. } => {
                workgroup_per_row::MOST_LANES.min(capabilities.max_invocations)
            }
        };
        let least = match self.meeting {
            Meeting::Workgroup | Meeting::WorkgroupBySubgroups { .. } => 32.min(most),
            _ => 1,
        };
        if !lanes.is_power_of_two() || !(least..=most).contains(&lanes) {
            return Err(format!("{lanes} lanes are no power of two from {least} to {most}"));
        }
        let per_lane = per_lane(classes, lanes);
        if per_lane * 3 + per_lane / 16 > MOST_TURNS {
            return Err(format!("{classes} classes are too many for {lanes} lanes"));
        }
        let (workgroup, meeting) = match self.meeting {
            Meeting::Workgroup | Meeting::WorkgroupBySubgroups { .. } => {
                (lanes, workgroup_meeting(lanes, capabilities))
            }
            meeting => (self.workgroup.max(lanes), meeting),
        };
        let held = held(classes, lanes, MOST_QUADS);
        if meeting == Meeting::Tile && held.is_none() {
            return Err(format!("{classes} classes are more than {lanes} lanes hold"));
        }
        Ok(Geometry { workgroup, lanes, held, meeting })
    }
}

/// The most lanes that may share a row where they meet in workgroup memory alone, unless the kernel has more by itself.
pub(crate) const LANES_WITHOUT_SUBGROUPS: u32 = 256;

/// Classes of a row that stay together: neighbours that one lane takes, and loads and stores as a whole where
/// they lie at a multiple of their number.
pub(crate) const QUAD: u64 = 4;

/// How many quads of logits a lane may keep in registers: few numbers, so that few pipelines serve all lengths.
pub(crate) const HELD: [u32; 10] = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32];

/// The most quads that a lane keeps in registers, and twice that many where a software adapter's memory serves as such.
pub(crate) const MOST_QUADS: u32 = 16;

/// The most logits that a lane keeps in registers.
pub(crate) const MOST_HELD: u64 = QUAD * MOST_QUADS as u64;

/// Turns that one invocation takes at most, all of its loops together: a software driver (lavapipe)
/// ends an invocation after 65,535 without a word.
pub(crate) const MOST_TURNS: u64 = 60_000;

/// The largest power of two that is at most `limit` invocations and fits the device.
pub(crate) fn workgroup_up_to(limit: u32, capabilities: &Capabilities) -> u32 {
    let most = limit.min(capabilities.max_invocations).max(1);
    1 << most.ilog2()
}

/// Quads that a lane keeps of a row that `lanes` of them share, if they are no more than `most`.
pub(crate) fn held(classes: u64, lanes: u32, most: u32) -> Option<u32> {
    let quads = classes.div_ceil(QUAD).div_ceil(u64::from(lanes));
    HELD.into_iter().find(|&held| u64::from(held) >= quads).filter(|&held| held <= most)
}

/// Logits of the lane that has most of a row.
pub(crate) fn per_lane(classes: u64, lanes: u32) -> u64 {
    QUAD * classes.div_ceil(QUAD).div_ceil(u64::from(lanes))
}

/// How the lanes of a workgroup meet on this device.
pub(crate) fn workgroup_meeting(lanes: u32, capabilities: &Capabilities) -> Meeting {
    match capabilities.subgroup_lanes {
        Some(size) if size > 1 && lanes > 1 => Meeting::WorkgroupBySubgroups { shuffled: size.min(lanes) },
        _ => Meeting::Workgroup,
    }
}

/// One geometry for every text that an entry point may get, over all devices.
pub(crate) fn geometries(entry: &Entry) -> Vec<Geometry> {
    let held = HELD.into_iter().filter(|&held| held <= MOST_QUADS).map(Some).chain([None]);
    let shared = [Meeting::Workgroup, Meeting::WorkgroupBySubgroups { shuffled: 32 }];
    let of = |workgroup, lanes, held, meeting| Geometry { workgroup, lanes, held, meeting };
    match entry.name {
        "subgroup_per_row" => {
            let held = HELD.into_iter().map(Some).chain([None]);
            held.map(|held| of(256, 32, held, Meeting::Subgroup)).collect()
        }
        "workgroup_per_row" | "jacobian" => {
            held.flat_map(|held| shared.map(|meeting| of(256, 256, held, meeting))).collect()
        }
        "tally" | "total" => vec![of(256, 256, None, Meeting::Workgroup)],
        "lane_per_column" => (held.clone().map(|held| of(64, 1, held, Meeting::Alone)))
            .chain(held.filter(Option::is_some).map(|held| of(64, 1, held, Meeting::AloneAsInTile)))
            .collect(),
        "tile_of_columns" => {
            held.filter(Option::is_some).map(|held| of(256, 16, held, Meeting::Tile)).collect()
        }
        "split_tile_statistics" => {
            [Some(MOST_QUADS), None].map(|held| of(256, 16, held, Meeting::Tile)).to_vec()
        }
        "split_tile_write" => vec![of(256, 16, None, Meeting::Tile)],
        "split_row_statistics" => ([Some(MOST_QUADS), None].into_iter())
            .flat_map(|held| shared.map(|meeting| of(256, 256, held, meeting)))
            .chain([Some(1), None].map(|held| of(8, 8, held, Meeting::Subgroup)))
            .collect(),
        "split_row_write" => (shared.map(|meeting| of(256, 256, None, meeting)).into_iter())
            .chain([of(8, 8, None, Meeting::Subgroup)])
            .collect(),
        "shuffle_check" => vec![of(64, 4, None, Meeting::Subgroup)],
        "copy" | "fill" | "load" => vec![of(256, 1, None, Meeting::Alone)],
        _ => vec![of(64, 1, None, Meeting::Alone)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_point_has_a_shader_and_a_rust_file_of_its_name() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let names = |folder: &str, extension: &str| {
            let mut names: Vec<String> = (std::fs::read_dir(root.join(folder)).unwrap())
                .map(|file| file.unwrap().path())
                .filter(|path| path.extension().is_some_and(|found| found == extension))
                .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
                .filter(|name| name != "mod")
                .collect();
            names.sort();
            names
        };
        let mut entries: Vec<_> = ENTRIES.iter().map(|entry| entry.name.to_string()).collect();
        entries.sort();
        assert_eq!(names("shaders/kernels", "wgsl"), entries);
        assert_eq!(names("src/kernels", "rs"), entries);
        for entry in ENTRIES {
            assert_eq!(entry.source.matches("@compute").count(), 1, "{}", entry.name);
            assert!(entry.source.contains(&format!("fn {}(", entry.name)), "{}", entry.name);
        }
    }

    #[test]
    fn entry_points_stand_in_kernels_alone() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("shaders");
        for folder in ["ops", "dtypes", "shared"] {
            for file in std::fs::read_dir(root.join(folder)).unwrap() {
                let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
                assert!(!text.contains("@compute"));
            }
        }
    }
}
