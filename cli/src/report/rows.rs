//! The rows that a report shows: the first ones of a result and the last.

use serde::{Serialize, Serializer};
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
struct Layout {
    kept: Vec<(usize, usize)>,
    normalised: Vec<(usize, usize)>,
}

impl Layout {
    /// How the rows of a result lie: as the array's, or each as a matrix of pairs of classes.
    fn of_result(output: Output, shape: &[usize], axes: &[usize]) -> Layout {
        if output != Output::PerPair {
            return Layout::new(shape, axes);
        }
        let array = Layout::new(shape, axes);
        let lengths = array.kept.iter().map(|&(length, _)| length).chain([count(&array.normalised); 2]);
        let shape: Vec<usize> = lengths.collect();
        Layout::new(&shape, &[shape.len() - 2, shape.len() - 1])
    }

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

/// The first rows of a result and the last ones: of an array of `shape`, normalised along `axes`.
pub fn rows<W: Decimal>(output: Output, shape: &[usize], axes: &[usize], values: &[W]) -> [Vec<Row>; 2] {
    let layout = Layout::of_result(output, shape, axes);
    let rows = count(&layout.kept);
    let described = |index: usize| {
        let (row, start) = place(&layout.kept, index);
        match output {
            Output::PerRow => Row { row, class: None, value: values.get(index).map(|value| value.decimal()) },
            _ => largest(&layout, row, start, values),
        }
    };
    let first = rows.min(SHOWN_ROWS);
    let last = rows.saturating_sub(SHOWN_ROWS).max(first);
    [(0..first).map(described).collect(), (last..rows).map(described).collect()]
}

fn largest<W: Decimal>(layout: &Layout, row: Vec<usize>, start: usize, values: &[W]) -> Row {
    let mut best: Option<(usize, W)> = None;
    let mut unordered = None;
    for class in 0..count(&layout.normalised) {
        let value = values[start + place(&layout.normalised, class).1];
        if value.partial_cmp(&value).is_none() {
            unordered = Some(value);
        } else if best.is_none_or(|(_, most)| value > most) {
            best = Some((class, value));
        }
    }
    match best {
        Some((class, value)) => {
            Row { row, class: Some(place(&layout.normalised, class).0), value: Some(value.decimal()) }
        }
        None => Row { row, class: None, value: unordered.map(Decimal::decimal) },
    }
}

#[cfg(test)]
mod tests {
    use super::super::json_line;
    use super::*;

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
}
