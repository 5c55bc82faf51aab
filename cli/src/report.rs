//! What happened, as a summary for people and as one JSON object: the same facts.

use std::fmt::Write;
use std::time::Duration;

use serde::{Serialize, Serializer};
use wgpu_softmax::{Op, Output};

use crate::arrays::{Float, Stored, Written};
use crate::device::Identity;
use crate::output::plain;

/// Rows shown from the start and from the end.
const SHOWN_ROWS: usize = 3;

/// The facts of one run.
#[derive(Debug, Serialize)]
pub struct Report {
    pub operation: &'static str,
    pub input: Input,
    /// The axes normalised together, counted from the front.
    pub axes: Vec<usize>,
    pub rows: u64,
    pub classes: u64,
    pub precision: &'static str,
    pub device: Identity,
    pub result: Target,
    pub seconds: Times,
    pub first_rows: Vec<Row>,
    /// The last ones that are not among the first.
    pub last_rows: Vec<Row>,
}

#[derive(Debug, Serialize)]
pub struct Input {
    pub path: String,
    pub dtype: Stored,
    pub shape: Vec<usize>,
    pub fortran_order: bool,
}

#[derive(Debug, Serialize)]
pub struct Target {
    /// None where only this report is wanted.
    pub path: Option<String>,
    pub dtype: Float,
    pub shape: Vec<usize>,
}

/// Where the time went, in seconds.
#[derive(Debug, Default, Serialize)]
pub struct Times {
    #[serde(serialize_with = "seconds")]
    pub open_device: Duration,
    #[serde(serialize_with = "seconds")]
    pub read: Duration,
    /// Making buffers and pipelines.
    #[serde(serialize_with = "seconds")]
    pub set_up: Duration,
    #[serde(serialize_with = "seconds")]
    pub upload: Duration,
    #[serde(serialize_with = "seconds")]
    pub compute: Duration,
    #[serde(serialize_with = "seconds")]
    pub read_back: Duration,
    #[serde(serialize_with = "seconds")]
    pub write: Duration,
}

/// What is told of one row.
#[derive(Debug, Serialize)]
pub struct Row {
    /// Where the row stands along the axes that are kept.
    pub row: Vec<usize>,
    /// The first class with the largest value; none for log-sum-exp, and where NaN or no class is all there is.
    #[serde(serialize_with = "class")]
    pub class: Option<Vec<usize>>,
    /// That class's value, or the row's log-sum-exp.
    #[serde(serialize_with = "number")]
    pub value: Option<f64>,
}

fn seconds<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(time.as_secs_f64())
}

/// A number along one axis, an array of numbers along several.
fn class<S: Serializer>(class: &Option<Vec<usize>>, serializer: S) -> Result<S::Ok, S::Error> {
    match class.as_deref() {
        None => serializer.serialize_none(),
        Some([single]) => serializer.serialize_u64(*single as u64),
        Some(several) => several.serialize(serializer),
    }
}

/// JSON has no infinities and no NaN: those go by their names.
fn number<S: Serializer>(value: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
    match *value {
        None => serializer.serialize_none(),
        Some(value) if value.is_finite() => serializer.serialize_f64(value),
        Some(value) if value.is_nan() => serializer.serialize_str("NaN"),
        Some(value) => serializer.serialize_str(if value > 0.0 { "Infinity" } else { "-Infinity" }),
    }
}

/// How the rows of an array lie: length and stride of the axes that are kept and of those normalised.
struct Layout {
    kept: Vec<(usize, usize)>,
    normalised: Vec<(usize, usize)>,
}

impl Layout {
    /// How the rows of a result lie: as the array's, or each as a matrix of pairs of classes.
    fn of_result(op: Op, shape: &[usize], axes: &[usize]) -> Layout {
        if op.output() != Output::PerPair {
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

/// The first rows of a result and the last ones.
pub fn rows<W: Written>(op: Op, shape: &[usize], axes: &[usize], values: &[W]) -> [Vec<Row>; 2] {
    let layout = Layout::of_result(op, shape, axes);
    let rows = count(&layout.kept);
    let described = |index: usize| {
        let (row, start) = place(&layout.kept, index);
        match op.output() {
            Output::PerRow => Row { row, class: None, value: values.get(index).map(|value| value.decimal()) },
            _ => largest(&layout, row, start, values),
        }
    };
    let first = rows.min(SHOWN_ROWS);
    let last = rows.saturating_sub(SHOWN_ROWS).max(first);
    [(0..first).map(described).collect(), (last..rows).map(described).collect()]
}

fn largest<W: Written>(layout: &Layout, row: Vec<usize>, start: usize, values: &[W]) -> Row {
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
        None => Row { row, class: None, value: unordered.map(Written::decimal) },
    }
}

impl Report {
    /// One JSON object, on a line of its own.
    pub fn json(&self) -> String {
        json_line(self)
    }

    /// The summary for people.
    pub fn summary(&self) -> String {
        let mut text = format!("{} of {}\n", self.operation, plain(&self.input.path));
        let mut line = |name: &str, value: String| {
            let _ = writeln!(text, "  {name:<8} {value}");
        };
        let dtype = if self.input.dtype.name() == self.result.dtype.name() {
            self.result.dtype.to_string()
        } else {
            format!("{} → {}", self.input.dtype, self.result.dtype)
        };
        line(
            "shape",
            format!(
                "{} {dtype}, {}: {} of {}",
                shape(&self.input.shape),
                along(&self.axes, self.input.shape.len()),
                counted(self.rows, "row", "rows"),
                counted(self.classes, "class", "classes"),
            ),
        );
        line("device", device(&self.device));
        line("time", self.times());
        text.push('\n');
        text.push_str(&self.table());
        text
    }

    /// What was written where, in a line.
    pub fn written(&self) -> String {
        format!(
            "wrote {} of {} {} to {}: {}",
            self.operation,
            shape(&self.input.shape),
            self.result.dtype,
            self.result.path.as_deref().unwrap_or_default(),
            self.times()
        )
    }

    fn times(&self) -> String {
        let Times { set_up, upload, compute, read_back, .. } = &self.seconds;
        if self.device.kind == "cpu" {
            return format!("compute {} (upload and read-back: none)", time(*compute + *set_up));
        }
        let [upload, compute, read_back, set_up] =
            [upload, compute, read_back, set_up].map(|part| time(*part));
        format!("upload {upload}, compute {compute}, read-back {read_back}; set-up {set_up}")
    }

    fn table(&self) -> String {
        if self.rows == 0 {
            return "  no rows\n".into();
        }
        let per_row = self.operation == Op::LogSumExp.name();
        let value_name = match self.operation {
            _ if per_row => "log-sum-exp",
            name if name == Op::LogSoftmax.name() => "log-probability",
            name if name == Op::Jacobian.name() || name == Op::LogSoftmaxJacobian.name() => "derivative",
            _ => "probability",
        };
        let largest = if value_name == "derivative" { "largest entry" } else { "largest class" };
        let mut lines = vec![["row".to_string(), largest.into(), value_name.into()]];
        lines.extend(self.first_rows.iter().map(|row| self.cells(row)));
        let gap = self.rows > (self.first_rows.len() + self.last_rows.len()) as u64;
        if gap {
            lines.push(["⋮".into(), "⋮".into(), "⋮".into()]);
        }
        lines.extend(self.last_rows.iter().map(|row| self.cells(row)));

        let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
        let widths = [width(0), width(1)];
        let mut text = String::new();
        for [row, class, value] in &lines {
            let _ = if per_row {
                writeln!(text, "  {row:<0$}  {value}", widths[0])
            } else {
                writeln!(text, "  {row:<0$}  {class:<1$}  {value}", widths[0], widths[1])
            };
        }
        text
    }

    fn cells(&self, row: &Row) -> [String; 3] {
        let mut kept = row.row.iter();
        let indices: Vec<String> = (0..self.input.shape.len())
            .map(|axis| match self.axes.contains(&axis) {
                true => ":".into(),
                false => kept.next().map_or(":".into(), usize::to_string),
            })
            .collect();
        let class = match row.class.as_deref() {
            None => "none".into(),
            Some([single]) => single.to_string(),
            Some(several) => listed(several),
        };
        let value = row.value.map_or("none".into(), significant);
        [format!("[{}]", indices.join(", ")), class, value]
    }
}

/// Serialises without fail: reports hold nothing that JSON cannot.
pub fn json_line(facts: &impl Serialize) -> String {
    let mut line = serde_json::to_string(facts).unwrap_or_else(|_| "{}".into());
    line.push('\n');
    line
}

/// Lengths with × between them.
pub fn shape(shape: &[usize]) -> String {
    match shape {
        [] => "one value".into(),
        _ => shape.iter().map(usize::to_string).collect::<Vec<_>>().join(" × "),
    }
}

/// Along which axes of how many.
pub fn along(axes: &[usize], rank: usize) -> String {
    match axes {
        _ if axes.len() == rank && rank != 1 => "over the whole array".into(),
        [axis] => format!("along axis {axis}"),
        _ => format!("along axes {}", listed(axes)),
    }
}

/// A device, and why it.
pub fn device(identity: &Identity) -> String {
    let backend = identity.backend.as_ref().map(|backend| format!(" by {backend}")).unwrap_or_default();
    format!("{}{backend}, because {}", identity.name, identity.why)
}

/// A number of things.
pub fn counted(count: u64, one: &str, several: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { several })
}

fn listed(indices: &[usize]) -> String {
    format!("({})", indices.iter().map(usize::to_string).collect::<Vec<_>>().join(", "))
}

/// A number of bytes.
pub fn bytes(bytes: u64) -> String {
    const UNITS: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match UNITS.into_iter().find(|&(_, unit)| bytes >= unit) {
        Some((name, unit)) => format!("{:.1} {name}", bytes as f64 / unit as f64),
        None => format!("{bytes} B"),
    }
}

fn time(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    match seconds {
        _ if seconds >= 1.0 => format!("{seconds:.2} s"),
        _ if seconds >= 1e-3 => format!("{:.2} ms", seconds * 1e3),
        _ => format!("{:.0} µs", seconds * 1e6),
    }
}

/// Six significant digits.
fn significant(value: f64) -> String {
    let magnitude = value.abs();
    if value == 0.0 || !value.is_finite() {
        return value.to_string();
    }
    if !(1e-4..1e6).contains(&magnitude) {
        return format!("{value:.5e}");
    }
    let decimals = (5 - magnitude.log10().floor() as i32).max(0) as usize;
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_along_any_axes_are_found() {
        // 2 × 3 × 2, the largest of each row along axis 1 marked by a 9.
        let values = [0., 9., 9., 1., 2., 3., 1., 2., 0., 9., 9., 0.].map(|value: f32| value);
        let [first, last] = rows(Op::Softmax, &[2, 3, 2], &[1], &values);
        let classes: Vec<_> =
            first.iter().chain(&last).map(|row| (row.row.clone(), row.class.clone())).collect();
        let expected = [([0, 0], 1), ([0, 1], 0), ([1, 0], 2), ([1, 1], 1)];
        assert_eq!(classes, expected.map(|(row, class)| (row.to_vec(), Some(vec![class]))));

        let [first, last] = rows(Op::Softmax, &[2, 3, 2], &[0, 2], &values);
        assert_eq!(
            first.iter().map(|row| row.class.clone().unwrap()).collect::<Vec<_>>(),
            [[0, 1], [0, 0], [1, 0]]
        );
        assert!(last.is_empty());
    }

    #[test]
    fn rows_without_a_largest_class_say_so() {
        let [nan, _] = rows(Op::Softmax, &[1, 2], &[1], &[f64::NAN, f64::NAN]);
        assert_eq!(json_line(&nan), "[{\"row\":[0],\"class\":null,\"value\":\"NaN\"}]\n");
        let [empty, _] = rows::<f32>(Op::Softmax, &[1, 0], &[1], &[]);
        assert_eq!(json_line(&empty), "[{\"row\":[0],\"class\":null,\"value\":null}]\n");
        let [sum, _] = rows(Op::LogSumExp, &[1, 0], &[1], &[f32::NEG_INFINITY]);
        assert_eq!(json_line(&sum), "[{\"row\":[0],\"class\":null,\"value\":\"-Infinity\"}]\n");
        let [single, _] = rows(Op::Softmax, &[], &[], &[1.0]);
        assert_eq!(json_line(&single), "[{\"row\":[],\"class\":[],\"value\":1.0}]\n");
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!(significant(0.952_574_13), "0.952574");
        assert_eq!(significant(-12.345_678), "-12.3457");
        assert_eq!(significant(1.0), "1.00000");
        assert_eq!(significant(1.211_754_44e-6), "1.21175e-6");
        assert_eq!(significant(f64::NAN), "NaN");
        assert_eq!(significant(3e38), "3.00000e38");
    }
}
