//! What was measured, as a table for people and as a JSON object.

use std::fmt::Write;
use std::path::Path;

use serde::Serialize;
use wgpu_softmax::{Candidate, Dtype, Op, Output, Tuning};

use super::fastest;
use crate::bench::{Case, Timing};
use crate::report::json_line;

/// A span of row lengths, measured in one type and for one kind of results.
#[derive(Debug)]
pub struct Measured {
    pub op: Op,
    pub dtype: Dtype,
    /// Of the rows that were measured.
    pub classes: u64,
    pub rows: u64,
    pub fastest: Timed,
    pub all: Vec<Timed>,
}

/// A candidate's median, in seconds.
#[derive(Debug, Clone, Copy)]
pub struct Timed {
    pub candidate: Candidate,
    pub median: f64,
}

impl Measured {
    /// What the times of a case's candidates come to; none where there are none.
    pub fn of<'a>(case: &Case, times: impl Iterator<Item = (Candidate, &'a [f64])>) -> Option<Measured> {
        let timed: Vec<(Candidate, Timing)> = times
            .filter(|(_, times)| !times.is_empty())
            .map(|(candidate, times)| (candidate, Timing::of(times.to_vec())))
            .collect();
        let place = fastest(&timed)?;
        let all: Vec<Timed> =
            timed.iter().map(|&(candidate, timing)| Timed { candidate, median: timing.median }).collect();
        Some(Measured {
            op: case.op,
            dtype: case.dtype,
            classes: case.batch.classes as u64,
            rows: case.batch.rows as u64,
            fastest: all[place],
            all,
        })
    }

    fn values(&self) -> &'static str {
        if self.op.output() == Output::PerElement { "per-element" } else { "per-row" }
    }

    fn span(&self) -> (u64, u64) {
        Tuning::span(self.classes).map_or((self.classes, self.classes), |span| (*span.start(), *span.end()))
    }

    fn built_in(&self) -> Option<f64> {
        self.all.iter().find(|timed| timed.candidate == Candidate::BuiltIn).map(|timed| timed.median)
    }

    /// Bytes of logits and results, each once, by the fastest one's time.
    fn gigabytes_per_second(&self) -> f64 {
        let width = if self.op.output() == Output::PerElement { self.classes } else { 1 };
        let bytes = self.rows * (self.classes + width) * self.dtype.bytes();
        bytes as f64 / self.fastest.median / 1e9
    }
}

/// A line for each span.
pub fn table(measured: &[Measured]) -> String {
    let mut text = String::new();
    let heading = ["values", "dtype", "rows of", "fastest", "GB/s", "times built-in"];
    let lines = measured.iter().map(|of| {
        let (shortest, longest) = of.span();
        let span = if shortest == longest { longest.to_string() } else { format!("{shortest} to {longest}") };
        let faster =
            of.built_in().map_or("–".into(), |built_in| format!("{:.2}", built_in / of.fastest.median));
        let dtype = of.dtype.name().to_string();
        let speed = format!("{:.2}", of.gigabytes_per_second());
        [of.values().to_string(), dtype, span, of.fastest.candidate.to_string(), speed, faster]
    });
    let lines: Vec<[String; 6]> = std::iter::once(heading.map(String::from)).chain(lines).collect();
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths = [0, 1, 2, 3, 4].map(width);
    for [values, dtype, span, fastest, speed, faster] in &lines {
        let [a, b, c, d, e] = widths;
        let _ = writeln!(text, "{values:<a$}  {dtype:<b$}  {span:<c$}  {fastest:<d$}  {speed:>e$}  {faster}");
    }
    text
}

#[derive(Debug, Serialize)]
struct Object<'a> {
    adapter: Adapter<'a>,
    path: String,
    /// What told the time: `timestamps`, or `many dispatches`.
    clock: &'a str,
    measured: Vec<Span>,
}

#[derive(Debug, Serialize)]
struct Adapter<'a> {
    name: &'a str,
    kind: &'a str,
    backend: &'a str,
    driver: &'a str,
}

#[derive(Debug, Serialize)]
struct Span {
    values: &'static str,
    dtype: &'static str,
    shortest: u64,
    longest: u64,
    /// The batch that was measured.
    n: u64,
    k: u64,
    fastest: Laid,
    candidates: Vec<Laid>,
}

#[derive(Debug, Serialize)]
struct Laid {
    /// `built-in`, or a kernel's name.
    kernel: &'static str,
    /// None where the plan chooses.
    lanes: Option<u32>,
    median_s: f64,
}

impl From<&Timed> for Laid {
    fn from(timed: &Timed) -> Laid {
        let (kernel, lanes) = match timed.candidate {
            Candidate::Kernel { kernel, lanes } => (kernel.name(), Some(lanes)),
            _ => ("built-in", None),
        };
        Laid { kernel, lanes, median_s: timed.median }
    }
}

/// One object on one line.
pub fn json(table: &Tuning, path: &Path, clock: &str, measured: &[Measured]) -> String {
    let key = table.adapter();
    let spans = measured.iter().map(|of| {
        let (shortest, longest) = of.span();
        Span {
            values: of.values(),
            dtype: of.dtype.name(),
            shortest,
            longest,
            n: of.rows,
            k: of.classes,
            fastest: Laid::from(&of.fastest),
            candidates: of.all.iter().map(Laid::from).collect(),
        }
    });
    json_line(&Object {
        adapter: Adapter { name: &key.name, kind: &key.kind, backend: &key.backend, driver: &key.driver },
        path: path.display().to_string(),
        clock,
        measured: spans.collect(),
    })
}
