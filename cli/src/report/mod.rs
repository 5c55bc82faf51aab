//! What happened, as a summary for people and as one JSON object: the same facts.
//!
//! [`rows`] finds the rows that are shown, [`words`] has numbers, shapes and devices for people.

mod rows;
mod words;

use std::fmt::Write;
use std::time::Duration;

use serde::{Serialize, Serializer};
use wgpu_softmax::{Op, Output};

use crate::args::Operation;
use crate::arrays::{Float, Stored};
use crate::device::Identity;
use crate::output::plain;

pub use rows::{Row, Seen, Shown};
pub use words::{along, bytes, counted, device, shape};
use words::{listed, significant, time};

/// The facts of one run.
#[derive(Debug, Serialize)]
pub struct Report {
    #[serde(serialize_with = "name")]
    pub operation: Operation,
    pub input: Input,
    /// What was read beside it.
    pub other_inputs: Vec<OtherInput>,
    /// The axes normalised together, counted from the front.
    pub axes: Vec<usize>,
    pub rows: u64,
    pub classes: u64,
    #[serde(flatten)]
    pub adjusted: Adjusted,
    /// For cross-entropy alone.
    #[serde(flatten)]
    pub loss: Option<Loss>,
    pub precision: &'static str,
    pub device: Identity,
    pub result: Target,
    /// What was written beside it.
    pub other_results: Vec<OtherTarget>,
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
pub struct OtherInput {
    /// What it is, as its option is named.
    pub name: &'static str,
    #[serde(flatten)]
    pub input: Input,
}

#[derive(Debug, Serialize)]
pub struct Target {
    /// None where only this report is wanted.
    pub path: Option<String>,
    pub dtype: Float,
    pub shape: Vec<usize>,
}

#[derive(Debug, Serialize)]
pub struct OtherTarget {
    /// What it is, as its option is named.
    pub name: &'static str,
    #[serde(flatten)]
    pub target: Target,
}

/// What became of the logits first, as far as numbers tell it.
#[derive(Debug, Serialize)]
pub struct Adjusted {
    /// None where there is none, and where it came from a file.
    pub temperature: Option<f64>,
    pub causal: bool,
    pub causal_offset: Option<i64>,
    pub window: Option<u64>,
    pub fully_masked: &'static str,
}

/// What a loss was made of, and what it is.
#[derive(Debug, Serialize)]
pub struct Loss {
    pub reduction: &'static str,
    pub ignore_index: Option<i64>,
    pub label_smoothing: f64,
    pub z_loss: f64,
    /// The reduced loss; none without a reduction.
    #[serde(rename = "loss", serialize_with = "number")]
    pub value: Option<f64>,
    /// Rows that are not ignored.
    pub counted: u64,
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
    /// For a loss, also the ways to the device and back.
    #[serde(serialize_with = "seconds")]
    pub compute: Duration,
    #[serde(serialize_with = "seconds")]
    pub read_back: Duration,
    #[serde(serialize_with = "seconds")]
    pub write: Duration,
}

fn name<S: Serializer>(operation: &Operation, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(operation.name())
}

fn seconds<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(time.as_secs_f64())
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

/// Serialises without fail: reports hold nothing that JSON cannot.
pub fn json_line(facts: &impl Serialize) -> String {
    let mut line = serde_json::to_string(facts).unwrap_or_else(|_| "{}".into());
    line.push('\n');
    line
}

impl Report {
    /// One JSON object, on a line of its own.
    pub fn json(&self) -> String {
        json_line(self)
    }

    /// The summary for people.
    pub fn summary(&self) -> String {
        let mut text = format!("{} of {}\n", self.operation.name(), plain(&self.input.path));
        let mut facts = vec![("shape", self.shapes())];
        for OtherInput { name, input } in &self.other_inputs {
            facts.push((name, format!("{}: {} {}", plain(&input.path), shape(&input.shape), input.dtype)));
        }
        facts.extend(self.adjusted.facts());
        if let Some(loss) = &self.loss {
            facts.push(("reduction", loss.made_of(self.rows)));
        }
        facts.push(("device", device(&self.device)));
        facts.push(("time", self.times()));
        for OtherTarget { name, target } in &self.other_results {
            let path = target.path.as_deref().unwrap_or_default();
            facts.push((name, format!("{} {} to {}", shape(&target.shape), target.dtype, plain(path))));
        }
        let width = facts.iter().map(|(name, _)| name.len()).max().unwrap_or(0).max(8);
        for (name, fact) in facts {
            let _ = writeln!(text, "  {name:<width$} {fact}");
        }
        text.push('\n');
        match self.loss.as_ref().and_then(|loss| loss.value) {
            Some(value) => {
                let _ = writeln!(text, "  loss  {}", in_full(value));
            }
            None => text.push_str(&self.table()),
        }
        text
    }

    fn shapes(&self) -> String {
        let dtype = if self.input.dtype.name() == self.result.dtype.name() {
            self.result.dtype.to_string()
        } else {
            format!("{} → {}", self.input.dtype, self.result.dtype)
        };
        format!(
            "{} {dtype}, {}: {} of {}",
            shape(&self.input.shape),
            along(&self.axes, self.input.shape.len()),
            counted(self.rows, "row", "rows"),
            counted(self.classes, "class", "classes"),
        )
    }

    /// What was written where, in a line.
    pub fn written(&self) -> String {
        let mut text = format!(
            "wrote {} of {} {} to {}",
            self.operation.name(),
            shape(&self.input.shape),
            self.result.dtype,
            self.result.path.as_deref().unwrap_or_default(),
        );
        for OtherTarget { name, target } in &self.other_results {
            let _ = write!(text, ", {name} to {}", target.path.as_deref().unwrap_or_default());
        }
        if let Some(loss) = &self.loss {
            let value = loss.value.map(|value| format!(" {}", in_full(value))).unwrap_or_default();
            let _ = write!(text, ": loss{value}, {}", loss.made_of(self.rows));
        }
        let _ = write!(text, ": {}", self.times());
        text
    }

    fn times(&self) -> String {
        let Times { set_up, upload, compute, read_back, .. } = &self.seconds;
        if self.device.kind == "cpu" {
            return format!("compute {} (upload and read-back: none)", time(*compute + *set_up));
        }
        if self.operation == Operation::CrossEntropy {
            return format!("compute {} (upload and read-back among it)", time(*compute));
        }
        let [upload, compute, read_back, set_up] =
            [upload, compute, read_back, set_up].map(|part| time(*part));
        format!("upload {upload}, compute {compute}, read-back {read_back}; set-up {set_up}")
    }

    fn table(&self) -> String {
        if self.rows == 0 {
            return "  no rows\n".into();
        }
        let [largest, value_name] = match self.operation {
            Operation::CrossEntropy => ["", "loss"],
            Operation::Rows(Op::LogSoftmax) => ["largest class", "log-probability"],
            Operation::Rows(op) => match op.output() {
                Output::PerRow | Output::TwoPerRow => ["", "log-sum-exp"],
                Output::PerPair => ["largest entry", "derivative"],
                Output::PerElement if op.operand().is_some() => ["largest class", "derivative"],
                Output::PerElement => ["largest class", "probability"],
            },
        };
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
            let _ = if largest.is_empty() {
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
        // The only number there is, is told to its last digit.
        let digits = if self.result.shape.is_empty() { in_full } else { significant };
        let value = row.value.map_or("none".into(), digits);
        [format!("[{}]", indices.join(", ")), class, value]
    }
}

impl Adjusted {
    fn facts(&self) -> Vec<(&'static str, String)> {
        let mut facts = Vec::new();
        if let Some(temperature) = self.temperature {
            facts.push(("temperature", temperature.to_string()));
        }
        if self.causal {
            let seen = match self.causal_offset.unwrap_or(0) {
                0 => "keys j ≤ i".to_string(),
                offset if offset > 0 => format!("keys j ≤ i + {offset}"),
                offset => format!("keys j ≤ i − {}", offset.unsigned_abs()),
            };
            let window = self.window.map(|window| format!(", the last {window} of them")).unwrap_or_default();
            facts.push(("causal", format!("query i sees {seen}{window}")));
        }
        facts
    }
}

impl Loss {
    fn made_of(&self, rows: u64) -> String {
        let rows = counted(rows, "row", "rows");
        let mut text = format!("{}, {} of {rows} counted", self.reduction, self.counted);
        if let Some(label) = self.ignore_index {
            let _ = write!(text, ", label {label} ignored");
        }
        if self.label_smoothing != 0.0 {
            let _ = write!(text, ", label smoothing {}", self.label_smoothing);
        }
        if self.z_loss != 0.0 {
            let _ = write!(text, ", z-loss {}", self.z_loss);
        }
        text
    }
}

/// As many digits as tell a number from its neighbours.
fn in_full(value: f64) -> String {
    format!("{value:?}")
}
