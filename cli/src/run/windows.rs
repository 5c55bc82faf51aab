//! The array in windows: boxes of whole rows that fit the memory, one after the other in the order of the rows.
//!
//! A row is what cannot be cut: every operation needs all of it at once, with its operand. What it results in can be:
//! a Jacobian is computed some of its rows at a time.

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
}

/// How far the work has come, in the order of the rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Position {
    /// Rows done.
    pub row: usize,
    /// Of the next one's Jacobian.
    pub jacobian_row: usize,
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
    /// Of each row's Jacobian.
    pub jacobian_rows: Range<usize>,
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
    /// In one window, of the Jacobian of a single row.
    most_jacobian_rows: usize,
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
    /// Where a single row does not fit.
    pub fn new(shapes: &Shapes, bytes: &RowBytes, memory: Option<u64>) -> Outcome<Windows> {
        let (rows, classes) = (shapes.row_count(), shapes.class_count());
        let least = bytes.read.saturating_add(bytes.written).saturating_add(bytes.jacobian_row.unwrap_or(0));
        let needed = least.saturating_mul(2);
        let within = match memory {
            Some(memory) if needed > memory => {
                return Err(Failure::Device(format!(
                    "a row of {} takes {}, with what comes of it and what computing it takes, and --memory allows {}: \
                     rows are not cut",
                    report::counted(classes as u64, "class", "classes"),
                    report::bytes(needed),
                    report::bytes(memory),
                )));
            }
            Some(memory) => memory,
            None if needed > DEFAULT_MEMORY => {
                let free = free_memory();
                if needed > free {
                    return Err(Failure::Device(format!(
                        "a row of {} takes {}, with what comes of it and what computing it takes, and there are {} of \
                         memory: rows are not cut",
                        report::counted(classes as u64, "class", "classes"),
                        report::bytes(needed),
                        report::bytes(free),
                    )));
                }
                needed
            }
            None => DEFAULT_MEMORY,
        };
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
        let cuts_rows = per_row > window && jacobian.is_some();
        Ok(Windows {
            rows,
            most_rows,
            classes,
            most_jacobian_rows: if cuts_rows { most_jacobian_rows } else { classes },
            computing: within / 2,
        })
    }

    /// The window that begins at `position`: an empty one where there are no rows at all.
    pub fn at(&self, shapes: &Shapes, position: Position) -> Window {
        let alone = self.most_jacobian_rows < self.classes || position.jacobian_row > 0;
        let most = if alone { 1 } else { self.most_rows };
        let rows = Region::next(&shapes.rows, position.row, most);
        let until = match alone {
            true => self.classes.min(position.jacobian_row.saturating_add(self.most_jacobian_rows)),
            false => self.classes,
        };
        let next = if until < self.classes {
            Position { jacobian_row: until, ..position }
        } else {
            Position { row: position.row + rows.elements(), jacobian_row: 0 }
        };
        let mut kept = rows.start.iter().zip(&rows.lengths);
        let (start, lengths) = (0..shapes.logits.len())
            .map(|axis| match shapes.axes.contains(&axis) {
                true => (0, shapes.logits[axis]),
                false => kept.next().map_or((0, 0), |(&start, &length)| (start, length)),
            })
            .unzip();
        Window {
            logits: Region { start, lengths },
            first: position.row,
            jacobian_rows: position.jacobian_row..until,
            next,
            rows,
        }
    }

    /// What is done at `position`, in logits, or for Jacobians in rows of them: as many.
    pub fn share_until(&self, position: Position) -> u64 {
        (position.row as u64).saturating_mul(self.classes as u64).saturating_add(position.jacobian_row as u64)
    }

    /// Whether nothing is left behind `position`.
    pub fn end_at(&self, position: Position) -> bool {
        position.row >= self.rows
    }
}

impl Window {
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
                let bytes = RowBytes { read: classes as u64 * 4, written: 4, jacobian_row: None };
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

    #[test]
    fn jacobians_are_cut_within_a_row() {
        let shapes = Shapes::new(&[2, 10], vec![1]);
        let bytes = RowBytes { read: 40, written: 0, jacobian_row: Some(40) };
        let windows = Windows::new(&shapes, &bytes, Some(2 * (40 + 3 * 40))).unwrap();
        let mut position = Position::default();
        let mut ranges = Vec::new();
        while !windows.end_at(position) {
            let window = windows.at(&shapes, position);
            assert_eq!(window.rows.elements(), 1);
            ranges.push((window.first, window.jacobian_rows));
            position = window.next;
        }
        let of_row = |row: usize| [0..3, 3..6, 6..9, 9..10].map(|range| (row, range));
        assert_eq!(ranges, [of_row(0), of_row(1)].concat());
        assert_eq!(
            Windows::new(&shapes, &bytes, Some(10_000)).unwrap().at(&shapes, position).next.jacobian_row,
            0
        );
        assert!(Windows::new(&shapes, &bytes, Some(159)).is_err());
    }
}
