//! What was measured, as JSON lines and as a table: the same rows.

use std::fmt::Write;

use serde::Serialize;

use super::cases::Case;
use super::clock::Timing;
use super::judge::Errors;

/// One result.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// `ours`; `reference`, the textbook; `copy`, `read` and `fill`, the limits.
    pub peer: &'static str,
    /// With underscores, as runners of other libraries spell it.
    pub op: &'static str,
    pub n: usize,
    pub k: usize,
    pub dtype: &'static str,
    pub device: String,
    /// `cpu`, `gpu-kernel`, `gpu-resident` or `gpu-e2e`.
    pub mode: &'static str,
    /// Of the CPU.
    pub threads: Option<usize>,
    pub median_s: f64,
    pub min_s: f64,
    /// The first and the third.
    pub quartiles_s: [f64; 2],
    pub reps: usize,
    /// What has to be read and written, each once.
    pub bytes: u64,
    pub gb_per_s: f64,
    /// Which limit `of_copy` is a share of.
    pub limit: Option<&'static str>,
    /// The share of what the memory allows, measured in the same run.
    pub of_copy: Option<f64>,
    #[serde(serialize_with = "finite")]
    pub max_rel_err_vs_f64: Option<f64>,
    #[serde(serialize_with = "finite")]
    pub max_abs_err_vs_f64: Option<f64>,
    /// Rows that these errors are of.
    pub rows_verified: usize,
    /// Whether it is the first call that was timed.
    pub cold: bool,
    /// What told the time: `host`, `timestamps`, or `many dispatches`.
    pub clock: &'static str,
}

/// JSON has no infinities: one is more than anything else here.
fn finite<S: serde::Serializer>(value: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => serializer.serialize_f64(value.min(1e308)),
        None => serializer.serialize_none(),
    }
}

/// Who was measured, and how.
#[derive(Debug, Clone, Copy)]
pub struct Measurement<'a> {
    pub peer: &'static str,
    pub device: &'a str,
    pub mode: &'static str,
    pub threads: Option<usize>,
    pub clock: &'static str,
    pub cold: bool,
}

impl Row {
    pub fn new(case: &Case, measured: Measurement<'_>, timing: &Timing) -> Row {
        Row {
            peer: measured.peer,
            op: case.name(),
            n: case.batch.rows,
            k: case.batch.classes,
            dtype: case.dtype.name(),
            device: measured.device.to_string(),
            mode: measured.mode,
            threads: measured.threads,
            median_s: timing.median,
            min_s: timing.min,
            quartiles_s: timing.quartiles,
            reps: timing.repeats,
            bytes: case.bytes(),
            gb_per_s: case.bytes() as f64 / timing.median / 1e9,
            limit: None,
            of_copy: None,
            max_rel_err_vs_f64: None,
            max_abs_err_vs_f64: None,
            rows_verified: 0,
            cold: measured.cold,
            clock: measured.clock,
        }
    }

    /// With the time that a limit takes for the same bytes.
    pub fn beside(mut self, case: &Case, limit: &Timing) -> Row {
        self.limit = Some(case.limit().name());
        self.of_copy = Some(limit.median / self.median_s);
        self
    }

    /// With the errors of so many rows.
    pub fn verified(mut self, errors: &Errors, rows: usize) -> Row {
        self.max_rel_err_vs_f64 = Some(errors.relative);
        self.max_abs_err_vs_f64 = Some(errors.absolute);
        self.rows_verified = rows;
        self
    }

    /// Where it was computed, and how.
    pub fn place(&self) -> String {
        let device = if self.peer == "reference" { "textbook" } else { &self.device };
        match (self.mode, self.threads) {
            ("cpu", Some(1)) => format!("{device}, 1 thread"),
            ("cpu", Some(threads)) => format!("{device}, {threads} threads"),
            ("gpu-kernel", _) => format!("{device}, kernel"),
            ("gpu-resident", _) => format!("{device}, resident"),
            ("gpu-e2e", _) => format!("{device}, end to end"),
            _ => device.to_string(),
        }
    }
}

/// The rows as tables for people, one for each operation and type.
pub fn tables(rows: &[Row]) -> String {
    let mut text = String::new();
    let mut kinds: Vec<(&str, &str)> = Vec::new();
    for row in rows {
        if !kinds.contains(&(row.op, row.dtype)) {
            kinds.push((row.op, row.dtype));
        }
    }
    for (op, dtype) in kinds {
        let _ = writeln!(text, "{} {dtype}", op.replace('_', "-"));
        let mut lines = vec![[
            "N × K".to_string(),
            "where".into(),
            "median".into(),
            "quartiles".into(),
            "GB/s".into(),
            "of limit".into(),
            "error".into(),
        ]];
        for row in rows.iter().filter(|row| row.op == op && row.dtype == dtype) {
            lines.push(cells(row));
        }
        let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..7).map(width).collect();
        for line in &lines {
            let mut written = String::new();
            for (column, (cell, width)) in line.iter().zip(&widths).enumerate() {
                // Words to the left, numbers to the right.
                let _ = match column {
                    1 => write!(written, "  {cell:<width$}"),
                    _ => write!(written, "  {cell:>width$}"),
                };
            }
            let _ = writeln!(text, "{}", written.trim_end());
        }
        text.push('\n');
    }
    text
}

fn cells(row: &Row) -> [String; 7] {
    let share = match (row.of_copy, row.limit) {
        (Some(share), Some(limit)) => format!("{:.0} % of {limit}", 100.0 * share),
        _ => String::new(),
    };
    let error = row.max_rel_err_vs_f64.map(|error| format!("{error:.1e}")).unwrap_or_default();
    [
        format!("{} × {}", row.n, row.k),
        row.place(),
        time(row.median_s),
        format!("{} … {}", time(row.quartiles_s[0]), time(row.quartiles_s[1])),
        format!("{:.2}", row.gb_per_s),
        share,
        error,
    ]
}

/// Three digits of a span of time.
pub fn time(seconds: f64) -> String {
    let (unit, scale) = match seconds {
        _ if seconds >= 1.0 => ("s", 1.0),
        _ if seconds >= 1e-3 => ("ms", 1e3),
        _ => ("µs", 1e6),
    };
    let value = seconds * scale;
    let decimals = (2 - value.max(1.0).log10().floor() as usize).min(2);
    format!("{value:.decimals$} {unit}")
}
