//! The rows that a report shows: the first ones of a result and the last.

use std::ops::Range;

use serde::{Deserialize, Serialize, Serializer};
use wgpu_softmax::Output;

use super::number;
use crate::arrays::Decimal;

/// Rows shown from the start and from the end.
const SHOWN_ROWS: usize = 3;

/// What is told of one row.
#[derive(Debug, Serialize)]
pub struct Row {
    /// Where the row stands along the axes that are kept.
    pub row: Vec<usize>,
    /// The first class with the largest value; none for a value per row, and where NaN or no class is all there is.
    #[serde(serialize_with = "class")]
    pub class: Option<Vec<usize>>,
    /// That class's value, or the row's own, such as its log-sum-exp.
    #[serde(serialize_with = "number")]
    pub value: Option<f64>,
}

/// A number along one axis, an array of numbers along several.
fn class<S: Serializer>(class: &Option<Vec<usize>>, serializer: S) -> Result<S::Ok, S::Error> {
    match class.as_deref() {
        None => serializer.serialize_none(),
        Some([single]) => serializer.serialize_u64(*single as u64),
        Some(several) => several.serialize(serializer),
    }
}

/// How the rows of an array lie: length and stride of the axes that are kept and of those normalised.
#[derive(Debug)]
struct Layout {
    kept: Vec<(usize, usize)>,
    normalised: Vec<(usize, usize)>,
}

impl Layout {
    fn new(shape: &[usize], axes: &[usize]) -> Layout {
        let mut layout = Layout { kept: Vec::new(), normalised: Vec::new() };
        for (axis, &length) in shape.iter().enumerate() {
            let stride = shape[axis + 1..].iter().product();
            let part = if axes.contains(&axis) { &mut layout.normalised } else { &mut layout.kept };
            part.push((length, stride));
        }
        layout
    }
}

fn count(axes: &[(usize, usize)]) -> usize {
    axes.iter().map(|&(length, _)| length).product()
}

/// The `index`th combination of indices, the last varying fastest, and where it lies.
fn place(axes: &[(usize, usize)], index: usize) -> (Vec<usize>, usize) {
    let mut position = vec![0; axes.len()];
    let (mut rest, mut place) = (index, 0);
    for (digit, &(length, stride)) in position.iter_mut().zip(axes).rev() {
        *digit = rest % length;
        rest /= length;
        place += *digit * stride;
    }
    (position, place)
}

/// What is known of the rows that will be shown, as window after window is computed.
#[derive(Debug)]
pub struct Shown {
    output: Output,
    /// Lengths and strides along the axes that are kept, and of the classes.
    layout: Layout,
    rows: Vec<Seen>,
}

/// What has been seen of one row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Seen {
    row: usize,
    class: Option<usize>,
    /// As bits, which JSON keeps to the last one.
    value: Option<u64>,
}

impl Shown {
    /// Nothing yet of what comes of an array of `shape`, normalised along `axes`.
    pub fn new(output: Output, shape: &[usize], axes: &[usize]) -> Shown {
        let mut layout = Layout::new(shape, axes);
        if output == Output::PerPair {
            let classes = count(&layout.normalised);
            layout.normalised = vec![(classes, classes), (classes, 1)];
        }
        let rows = count(&layout.kept);
        let first = rows.min(SHOWN_ROWS);
        let last = rows.saturating_sub(SHOWN_ROWS).max(first);
        let rows = (0..first).chain(last..rows).map(|row| Seen { row, class: None, value: None }).collect();
        Shown { output, layout, rows }
    }

    /// What an earlier run has seen.
    pub fn recall(&mut self, seen: &[Seen]) {
        for row in &mut self.rows {
            if let Some(seen) = seen.iter().find(|seen| seen.row == row.row) {
                *row = seen.clone();
            }
        }
    }

    /// What has been seen.
    pub fn seen(&self) -> &[Seen] {
        &self.rows
    }

    /// Looks at the values of a window: of the rows from `first` on, which are an array of `shape` normalised along
    /// `axes`, and of each one's Jacobian the rows in `part`, or of each one the classes.
    pub fn look<W: Decimal>(
        &mut self,
        first: usize,
        shape: &[usize],
        axes: &[usize],
        part: &Range<usize>,
        values: &[W],
    ) {
        let mut of_window = Layout::new(shape, axes);
        let rows = count(&of_window.kept);
        let mut classes_before = part.start;
        if self.output == Output::PerPair {
            let classes = count(&of_window.normalised);
            classes_before = part.start * classes;
            of_window = Layout::new(&[rows, part.len() * classes], &[1]);
        }
        for seen in &mut self.rows {
            let Some(index) = seen.row.checked_sub(first).filter(|&index| index < rows) else { continue };
            if self.output == Output::PerRow {
                seen.value = values.get(index).map(|value| value.decimal().to_bits());
                continue;
            }
            let start = place(&of_window.kept, index).1;
            let mut best: Option<(usize, W)> = None;
            for class in 0..count(&of_window.normalised) {
                // Of a single row, which may be all there is, the classes lie one after the other.
                let value =
                    values[if rows == 1 { class } else { start + place(&of_window.normalised, class).1 }];
                if value.partial_cmp(&value).is_none() {
                    seen.value = seen.value.or(Some(value.decimal().to_bits()));
                } else if best.is_none_or(|(_, most)| value > most) {
                    best = Some((class, value));
                }
            }
            let before = seen.class.and(seen.value).map(f64::from_bits);
            if let Some((class, value)) = best
                && before.is_none_or(|before| value.decimal() > before)
            {
                (seen.class, seen.value) = (Some(classes_before + class), Some(value.decimal().to_bits()));
            }
        }
    }

    /// The first rows and the last ones.
    pub fn rows(&self) -> [Vec<Row>; 2] {
        let described = |seen: &Seen| Row {
            row: place(&self.layout.kept, seen.row).0,
            class: seen.class.map(|class| place(&self.layout.normalised, class).0),
            value: seen.value.map(f64::from_bits),
        };
        let (first, last) = self.rows.split_at(self.rows.len().min(SHOWN_ROWS));
        [first.iter().map(described).collect(), last.iter().map(described).collect()]
    }
}

#[cfg(test)]
mod tests {
    use super::super::json_line;
    use super::*;

    /// All in one window.
    fn rows<W: Decimal>(output: Output, shape: &[usize], axes: &[usize], values: &[W]) -> [Vec<Row>; 2] {
        let mut shown = Shown::new(output, shape, axes);
        shown.look(0, shape, axes, &(0..0), values);
        shown.rows()
    }

    #[test]
    fn rows_along_any_axes_are_found() {
        // 2 × 3 × 2, the largest of each row along axis 1 marked by a 9.
        let values = [0., 9., 9., 1., 2., 3., 1., 2., 0., 9., 9., 0.].map(|value: f32| value);
        let [first, last] = rows(Output::PerElement, &[2, 3, 2], &[1], &values);
        let classes: Vec<_> =
            first.iter().chain(&last).map(|row| (row.row.clone(), row.class.clone())).collect();
        let expected = [([0, 0], 1), ([0, 1], 0), ([1, 0], 2), ([1, 1], 1)];
        assert_eq!(classes, expected.map(|(row, class)| (row.to_vec(), Some(vec![class]))));

        let [first, last] = rows(Output::PerElement, &[2, 3, 2], &[0, 2], &values);
        assert_eq!(
            first.iter().map(|row| row.class.clone().unwrap()).collect::<Vec<_>>(),
            [[0, 1], [0, 0], [1, 0]]
        );
        assert!(last.is_empty());
    }

    #[test]
    fn rows_without_a_largest_class_say_so() {
        let [nan, _] = rows(Output::PerElement, &[1, 2], &[1], &[f64::NAN, f64::NAN]);
        assert_eq!(json_line(&nan), "[{\"row\":[0],\"class\":null,\"value\":\"NaN\"}]\n");
        let [empty, _] = rows::<f32>(Output::PerElement, &[1, 0], &[1], &[]);
        assert_eq!(json_line(&empty), "[{\"row\":[0],\"class\":null,\"value\":null}]\n");
        let [sum, _] = rows(Output::PerRow, &[1, 0], &[1], &[f32::NEG_INFINITY]);
        assert_eq!(json_line(&sum), "[{\"row\":[0],\"class\":null,\"value\":\"-Infinity\"}]\n");
        let [single, _] = rows(Output::PerElement, &[], &[], &[1.0]);
        assert_eq!(json_line(&single), "[{\"row\":[],\"class\":[],\"value\":1.0}]\n");
    }

    #[test]
    fn windows_are_looked_at_together() {
        // The largest entry of a Jacobian stands in the second window.
        let mut shown = Shown::new(Output::PerPair, &[1, 3], &[1]);
        shown.look(0, &[1, 3], &[1], &(0..1), &[0.5f32, -0.1, -0.4]);
        let mut later = Shown::new(Output::PerPair, &[1, 3], &[1]);
        later.recall(shown.seen());
        later.look(0, &[1, 3], &[1], &(1..3), &[-0.1f32, 0.7, f32::NAN, -0.4, -0.2, 0.6]);
        assert_eq!(json_line(&later.rows()[0]), "[{\"row\":[0],\"class\":[1,1],\"value\":0.7}]\n");
        // The largest class of a row that is cut itself.
        let mut shown = Shown::new(Output::PerElement, &[2, 3], &[0, 1]);
        shown.look(0, &[1, 3], &[0, 1], &(0..3), &[0.1f32, 0.3, 0.1]);
        shown.look(0, &[1, 2], &[0, 1], &(3..5), &[0.1f32, 0.4]);
        shown.look(0, &[1, 1], &[0, 1], &(5..6), &[0.2f32]);
        assert_eq!(shown.rows()[0][0].class, Some(vec![1, 1]));
        // The eighth row of ten, in a window of its own.
        let mut shown = Shown::new(Output::PerRow, &[10, 2], &[1]);
        shown.look(7, &[1, 2], &[1], &(0..2), &[4.0f64]);
        assert_eq!(shown.rows()[1][0].value, Some(4.0));
        assert_eq!(shown.rows()[1][1].value, None);
    }
}
