//! The row of an array that a picture is of.

use std::path::is_separator;

use wgpu_softmax::Axes;

use crate::args::Plotted;
use crate::arrays::{ArrayFile, Incoming};
use crate::failure::{Failure, Outcome};
use crate::output::{plain, shown};
use crate::report::{counted, shape};

/// Logits, and what pictures and messages call them.
#[derive(Debug)]
pub struct Row {
    pub logits: Vec<f64>,
    pub name: String,
}

impl Row {
    /// The row that was asked for, of at most `most` logits; none where no array was named.
    pub fn read(asked: &Plotted, most: usize) -> Outcome<Option<Row>> {
        let Some(file) = &asked.input else { return Ok(None) };
        let incoming = Incoming::open(file)?;
        let place = Place::of(incoming.shape(), &asked.axis, asked.row)?;
        let classes = place.offsets.len();
        let name = name(&incoming, file, asked.row, place.rows);
        if classes == 0 {
            return Err(Failure::Input(format!("{name} is empty: there is nothing to draw")));
        }
        if classes > most {
            return Err(Failure::Input(format!(
                "{name} has {classes} elements, more than this picture shows ({most})"
            )));
        }
        let values = incoming.read::<f64>()?;
        let logits = place.offsets.iter().map(|offset| values[place.start + offset]).collect();
        Ok(Some(Row { logits, name }))
    }

    /// An error about this row's numbers.
    pub fn refused(&self, why: &str) -> Failure {
        Failure::Input(format!("{} {why}", self.name))
    }
}

/// What stands in titles: the array's name without the folders that lead to it, and which of its rows.
fn name(incoming: &Incoming, file: &ArrayFile, row: usize, rows: usize) -> String {
    let folders = file.path.parent().map(shown).unwrap_or_default();
    let name = incoming.name();
    let name = plain(name.strip_prefix(&folders).unwrap_or(name).trim_start_matches(is_separator));
    if rows == 1 { name } else { format!("row {row} of {name}") }
}

/// Where a row's elements lie in a C-ordered array.
#[derive(Debug, PartialEq)]
struct Place {
    rows: usize,
    start: usize,
    /// From the start to each element.
    offsets: Vec<usize>,
}

impl Place {
    fn of(lengths: &[usize], axes: &Axes, row: usize) -> Outcome<Place> {
        let normalised = axes.resolve(lengths.len())?;
        let kept = (0..lengths.len()).filter(|axis| !normalised.contains(axis)).collect::<Vec<_>>();
        let rows = count(lengths, &kept);
        if row >= rows {
            return Err(Failure::Input(format!(
                "row {row} is out of range: the array ({}) has {}, counted from 0",
                shape(lengths),
                counted(rows as u64, "row", "rows"),
            )));
        }
        Ok(Place {
            rows,
            start: offset(lengths, &kept, row),
            offsets: (0..count(lengths, &normalised))
                .map(|class| offset(lengths, &normalised, class))
                .collect(),
        })
    }
}

fn count(lengths: &[usize], axes: &[usize]) -> usize {
    axes.iter().map(|&axis| lengths[axis]).product()
}

/// From the first element to the one that is number `index` along `axes`, in C order.
fn offset(lengths: &[usize], axes: &[usize], mut index: usize) -> usize {
    let mut offset = 0;
    for &axis in axes.iter().rev() {
        let stride: usize = lengths[axis + 1..].iter().product();
        offset += index % lengths[axis] * stride;
        index /= lengths[axis];
    }
    offset
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_lie_along_any_axes() {
        let place = |axes: Axes, row| Place::of(&[2, 3, 4], &axes, row).unwrap();
        assert_eq!(place(Axes::from(-1), 5), Place { rows: 6, start: 20, offsets: vec![0, 1, 2, 3] });
        assert_eq!(place(Axes::from(1), 6), Place { rows: 8, start: 14, offsets: vec![0, 4, 8] });
        assert_eq!(place(Axes::from([0, 2]), 1).offsets, [0, 1, 2, 3, 12, 13, 14, 15]);
        assert_eq!(place(Axes::All, 0).offsets, (0..24).collect::<Vec<_>>());
        assert!(Place::of(&[2, 3, 4], &Axes::from(1), 8).is_err());
        assert!(Place::of(&[], &Axes::from(-1), 0).is_err());
        assert_eq!(Place::of(&[], &Axes::All, 0).unwrap(), Place { rows: 1, start: 0, offsets: vec![0] });
    }
}
