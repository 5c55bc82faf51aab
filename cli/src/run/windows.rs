//! The array in windows: boxes of whole rows that fit the memory, one after the other in the order of the rows.
//!
//! Most operations need all of a row at once, with its operand. What it results in can be cut: a Jacobian is computed some
//! of its rows at a time. And a row is cut itself where its statistics are all that its results need beside their logits.

use std::ops::Range;

use crate::arrays::Region;
use crate::failure::{Failure, Outcome};
use crate::report;

use super::inputs::Shapes;

/// What a run may take, for arrays on the way and for computing, unless it is told otherwise.
const DEFAULT_MEMORY: u64 = 512 << 20;

/// What one row takes.
#[derive(Debug, Default)]
pub struct RowBytes {
    /// What is read for it.
    pub read: u64,
    /// What it results in, Jacobians aside.
    pub written: u64,
    /// A row of its Jacobian.
    pub jacobian_row: Option<u64>,
    /// What a class takes where a row may be cut into pieces.
    pub class_of_piece: Option<u64>,
}

/// How far the work has come, in the order of the rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Position {
    /// Rows done.
    pub row: usize,
    /// Of the next one's Jacobian, or classes of it where rows are cut.
    pub part: usize,
}

/// Some of the rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// Along the axes that are kept.
    pub rows: Region,
    /// Of the logits.
    pub logits: Region,
    /// The number of the first row.
    pub first: usize,
    /// Rows of each row's Jacobian, or classes.
    pub part: Range<usize>,
    /// Where the next one begins.
    pub next: Position,
}

/// How the rows are cut into windows.
#[derive(Debug)]
pub struct Windows {
    rows: usize,
    /// In one window.
    most_rows: usize,
    classes: usize,
    /// In one window, of the Jacobian of a single row, or of its classes.
    most_of_row: usize,
    /// Whether the rows themselves are cut.
    pub cuts_rows: bool,
    /// What computing a window may take beside it.
    pub computing: u64,
}

impl Windows {
    /// Windows within `memory`, or what there is by default.
    ///
    /// Half of it holds a window, the other half is for computing it: a device has everything in memory of its own,
    /// and the CPU path works on rows in the type that it computes in.
    ///
    /// # Errors
    /// Where a single row does not fit, and cannot be cut.
    pub fn new(shapes: &Shapes, bytes: &RowBytes, memory: Option<u64>) -> Outcome<Windows> {
        let (rows, classes) = (shapes.row_count(), shapes.class_count());
        let least = bytes.read.saturating_add(bytes.written).saturating_add(bytes.jacobian_row.unwrap_or(0));
        let needed = least.saturating_mul(2);
        let within = memory.unwrap_or(DEFAULT_MEMORY.max(needed));
        let allowed = match memory {
            Some(memory) => memory,
            // What cannot be cut takes what it needs, if that is there.
            None if needed > DEFAULT_MEMORY && bytes.class_of_piece.is_none() => free_memory(),
            None => DEFAULT_MEMORY,
        };
        if needed > allowed {
            let computing = memory.unwrap_or(DEFAULT_MEMORY) / 2;
            let Some(class) = bytes.class_of_piece else {
                let allowed = match memory {
                    Some(memory) => format!("--memory allows {}", report::bytes(memory)),
                    None => format!("there are {} of memory", report::bytes(allowed)),
                };
                return Err(Failure::Device(format!(
                    "a row of {} takes {}, with what comes of it and what computing it takes, and {allowed}: rows are \
                     computed in pieces on the CPU (--device cpu) alone, and not where Jacobians are wanted; otherwise \
                     allow more by --memory",
                    report::counted(classes as u64, "class", "classes"),
                    report::bytes(needed),
                )));
            };
            let classes_of_piece = usize::try_from(computing / class.max(1)).unwrap_or(usize::MAX);
            return Ok(Windows {
                rows,
                most_rows: 1,
                classes,
                most_of_row: classes_of_piece.clamp(1, classes.max(1)),
                cuts_rows: true,
                computing,
            });
        }
        let window = within / 2;
        let jacobian = bytes.jacobian_row.map(|row| row.saturating_mul(classes as u64));
        let per_row = bytes.read.saturating_add(bytes.written).saturating_add(jacobian.unwrap_or(0));
        let most_rows = match window.checked_div(per_row) {
            // Rows of which there is nothing.
            None => usize::MAX,
            Some(rows) => usize::try_from(rows).unwrap_or(usize::MAX).max(1),
        };
        let of_jacobian = window.saturating_sub(bytes.read) / bytes.jacobian_row.unwrap_or(1).max(1);
        let most_jacobian_rows = usize::try_from(of_jacobian).unwrap_or(usize::MAX).clamp(1, classes.max(1));
        let cuts_jacobians = per_row > window && jacobian.is_some();
        Ok(Windows {
            rows,
            most_rows,
            classes,
            most_of_row: if cuts_jacobians { most_jacobian_rows } else { classes },
            cuts_rows: false,
            computing: within / 2,
        })
    }

    /// The window that begins at `position`: an empty one where there are no rows at all.
    pub fn at(&self, shapes: &Shapes, position: Position) -> Window {
        let alone = self.cuts_rows || self.most_of_row < self.classes || position.part > 0;
        let most = if alone { 1 } else { self.most_rows };
        let rows = Region::next(&shapes.rows, position.row, most);
        let classes = match self.cuts_rows {
            true => Region::next(&shapes.classes, position.part, self.most_of_row),
            false => Region::whole(&shapes.classes),
        };
        let until = match alone {
            true if self.cuts_rows => position.part + classes.elements(),
            true => self.classes.min(position.part.saturating_add(self.most_of_row)),
            false => self.classes,
        };
        let next = if until < self.classes {
            Position { part: until, ..position }
        } else {
            Position { row: position.row + rows.elements(), part: 0 }
        };
        let logits = {
            let (mut kept, mut normalised) = (rows.sides(), classes.sides());
            let side = |axis| if shapes.axes.contains(&axis) { normalised.next() } else { kept.next() };
            let (start, lengths) = (0..shapes.logits.len()).map(side).map(Option::unwrap_or_default).unzip();
            Region { start, lengths }
        };
        Window { logits, first: position.row, part: position.part..until, next, rows }
    }

    /// What is done at `position`, in logits, or for Jacobians in rows of them: as many.
    pub fn share_until(&self, position: Position) -> u64 {
        (position.row as u64).saturating_mul(self.classes as u64).saturating_add(position.part as u64)
    }

    /// Whether nothing is left behind `position`.
    pub fn end_at(&self, position: Position) -> bool {
        position.row >= self.rows
    }
}

impl Window {
    /// The box along the normalised axes alone.
    pub fn classes(&self, axes: &[usize]) -> Region {
        let along = |values: &[usize]| axes.iter().map(|&axis| values[axis]).collect();
        Region { start: along(&self.logits.start), lengths: along(&self.logits.lengths) }
    }

    /// The same box with length 1 along the normalised axes.
    pub fn rows_kept(&self, axes: &[usize]) -> Region {
        let mut kept = self.logits.clone();
        for &axis in axes {
            (kept.start[axis], kept.lengths[axis]) = (0, 1);
        }
        kept
    }
}

/// What may be taken before the system runs out, as far as it tells.
fn free_memory() -> u64 {
    let mut system = sysinfo::System::new();
    system.refresh_memory();
    let free = match system.available_memory() {
        0 => u64::MAX,
        free => free,
    };
    system.cgroup_limits().map_or(free, |limits| free.min(limits.free_memory))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every row in exactly one window, in order, and none larger than the memory.
    #[test]
    fn windows_cover_the_rows_in_order() {
        for (shape, axes) in [
            (&[7, 5][..], &[1][..]),
            (&[7, 5], &[0]),
            (&[2, 3, 4], &[1]),
            (&[2, 3, 4], &[0, 2]),
            (&[3, 4, 5, 2], &[1, 2]),
            (&[6], &[0]),
            (&[0, 5], &[1]),
            (&[5, 0], &[1]),
            (&[], &[]),
        ] {
            let shapes = Shapes::new(shape, axes.to_vec());
            let (rows, classes) = (shapes.row_count(), shapes.class_count());
            for memory in [100u64, 200, 500, 2000, 1 << 20] {
                let bytes = RowBytes { read: classes as u64 * 4, written: 4, ..RowBytes::default() };
                let Ok(windows) = Windows::new(&shapes, &bytes, Some(memory)) else {
                    assert!(2 * (bytes.read + bytes.written) > memory);
                    continue;
                };
                let mut position = Position::default();
                let mut seen = 0;
                loop {
                    let window = windows.at(&shapes, position);
                    assert_eq!(window.first, seen);
                    seen += window.rows.elements();
                    assert_eq!(window.logits.elements(), window.rows.elements() * classes);
                    assert!(window.rows.elements() as u64 * (bytes.read + bytes.written) * 2 <= memory);
                    position = window.next;
                    if windows.end_at(position) {
                        break;
                    }
                }
                assert_eq!(seen, rows, "{shape:?} along {axes:?} within {memory}");
            }
        }
    }

    /// Every class of every row in exactly one window, in the order of the classes.
    #[test]
    fn rows_are_cut_along_any_axes() {
        for (shape, axes) in [
            (&[2, 10][..], &[1][..]),
            (&[10, 2], &[0]),
            (&[3, 4, 5], &[0, 2]),
            (&[3, 4, 5], &[0, 1, 2]),
            (&[9], &[0]),
        ] {
            let shapes = Shapes::new(shape, axes.to_vec());
            let (rows, classes) = (shapes.row_count(), shapes.class_count());
            let read = classes as u64 * 4;
            for class in [1, 4, 7, 100] {
                let bytes = RowBytes { read, written: read, jacobian_row: None, class_of_piece: Some(class) };
                let windows = Windows::new(&shapes, &bytes, Some(4 * read - 1)).unwrap();
                assert!(windows.cuts_rows);
                let (mut position, mut seen) = (Position::default(), vec![0; rows * classes]);
                while !windows.end_at(position) {
                    let window = windows.at(&shapes, position);
                    assert_eq!((window.first, window.part.start), (position.row, position.part));
                    assert_eq!((window.rows.elements(), window.logits.elements()), (1, window.part.len()));
                    let most = (2 * read - 1) / class;
                    assert!(window.part.len() as u64 <= most.max(1), "{window:?}");
                    let (starts, run) = window.logits.runs(shape);
                    starts.for_each(|start| {
                        seen[start as usize..][..run].iter_mut().for_each(|times| *times += 1)
                    });
                    position = window.next;
                }
                assert!(seen.iter().all(|&times| times == 1), "{shape:?} along {axes:?}: {seen:?}");
            }
        }
    }

    /// However much memory the machine has.
    #[test]
    fn a_long_row_is_cut_unasked() {
        let shapes = Shapes::new(&[1 << 30], vec![0]);
        let bytes =
            RowBytes { read: 4 << 30, written: 4 << 30, jacobian_row: None, class_of_piece: Some(20) };
        let windows = Windows::new(&shapes, &bytes, None).unwrap();
        assert!(windows.cuts_rows);
        let first = windows.at(&shapes, Position::default());
        assert!(first.logits.elements() as u64 * 20 <= DEFAULT_MEMORY);
        let short = RowBytes { read: 4 << 20, written: 4 << 20, ..bytes };
        assert!(!Windows::new(&shapes, &short, None).unwrap().cuts_rows);
    }

    #[test]
    fn jacobians_are_cut_within_a_row() {
        let shapes = Shapes::new(&[2, 10], vec![1]);
        let bytes = RowBytes { read: 40, written: 0, jacobian_row: Some(40), class_of_piece: None };
        let windows = Windows::new(&shapes, &bytes, Some(2 * (40 + 3 * 40))).unwrap();
        let mut position = Position::default();
        let mut ranges = Vec::new();
        while !windows.end_at(position) {
            let window = windows.at(&shapes, position);
            assert_eq!(window.rows.elements(), 1);
            ranges.push((window.first, window.part));
            position = window.next;
        }
        let of_row = |row: usize| [0..3, 3..6, 6..9, 9..10].map(|range| (row, range));
        assert_eq!(ranges, [of_row(0), of_row(1)].concat());
        assert_eq!(Windows::new(&shapes, &bytes, Some(10_000)).unwrap().at(&shapes, position).next.part, 0);
        assert!(Windows::new(&shapes, &bytes, Some(159)).is_err());
    }
}
