//! `run`: an array in, the result out or a summary of it.

use std::io::{self, IsTerminal};
use std::time::Instant;

use half::f16;
use wgpu_softmax::{Error, Op, Options, Precision, Progress, Request, result_shape};

use crate::args::Run;
use crate::arrays::{self, Computed, Float, Incoming, Stored, Written, reserve};
use crate::device::{self, Chosen};
use crate::failure::{Failure, Outcome};
use crate::output::{Destination, note, print};
use crate::progress::Phase;
use crate::report::{self, Input, Report, Target, Times};

/// Everything that is settled before the elements are read.
struct Task<'a> {
    asked: &'a Run,
    destination: Option<Destination>,
    chosen: Chosen,
    report: Report,
}

/// Computes over the input as asked.
pub fn run(asked: &Run) -> Outcome {
    let incoming = Incoming::open(&asked.input)?;
    let task = Task::new(asked, &incoming)?;
    match task.report.result.dtype {
        Float::F16 => {
            task.finish(incoming, |values: Vec<f32>| values.into_iter().map(f16::from_f32).collect())
        }
        Float::F32 => task.finish(incoming, |values: Vec<f32>| values),
        Float::F64 => task.finish(incoming, |values: Vec<f64>| values),
    }
}

impl<'a> Task<'a> {
    /// Settles what an input needs, and refuses what can be known to fail before its elements are read.
    fn new(asked: &'a Run, incoming: &Incoming) -> Outcome<Task<'a>> {
        let computation = &asked.computation;
        let shape = incoming.shape();
        let axes = computation.axes(shape.len());
        let resolved = axes.resolve(shape.len())?;
        let result_shape = result_shape(computation.op, shape, &axes, asked.keepdims)?;
        let destination = asked.output.as_deref().map(Destination::of).transpose()?;

        let dtype = incoming.stored().result(computation.dtype);
        let clock = Instant::now();
        let chosen = device::open(&computation.device, dtype.computed())
            .map_err(|error| about_integers(error, incoming.stored()))?;
        let lengths = |normalised: bool| -> u64 {
            let chosen = shape.iter().enumerate().filter(|(axis, _)| resolved.contains(axis) == normalised);
            chosen.map(|(_, &length)| length as u64).product()
        };
        let report = Report {
            operation: computation.op.name(),
            input: Input {
                path: incoming.name().into(),
                dtype: incoming.stored(),
                shape: shape.to_vec(),
                fortran_order: incoming.fortran(),
            },
            rows: lengths(false),
            classes: lengths(true),
            axes: resolved,
            precision: match computation.precision {
                Precision::Accurate => "accurate",
                Precision::Fast => "fast",
            },
            device: chosen.identity.clone(),
            result: Target { path: destination.as_ref().map(Destination::name), dtype, shape: result_shape },
            seconds: Times { open_device: clock.elapsed(), ..Times::default() },
            first_rows: Vec::new(),
            last_rows: Vec::new(),
        };
        Ok(Task { asked, destination, chosen, report })
    }

    /// Reads, computes, writes and reports.
    fn finish<T: Computed, W: Written>(
        mut self,
        incoming: Incoming,
        written: impl FnOnce(Vec<T>) -> Vec<W>,
    ) -> Outcome {
        if !self.json_on_standard_error() && !self.summary_is_watched() {
            note(&format!("computing on {}", report::device(&self.chosen.identity)));
        }
        let clock = Instant::now();
        let logits = incoming.read::<T>()?;
        self.report.seconds.read = clock.elapsed();

        let values = written(self.compute(&logits)?);
        drop(logits);

        let Report { input, axes, result, .. } = &self.report;
        let [first, last] = report::rows(self.op(), &input.shape, axes, &values);
        if let Some(destination) = &self.destination {
            let clock = Instant::now();
            destination.write(|writer| arrays::write(writer, &result.shape, &values))?;
            self.report.seconds.write = clock.elapsed();
        }
        [self.report.first_rows, self.report.last_rows] = [first, last];
        self.tell()
    }

    fn compute<T: Computed>(&mut self, logits: &[T]) -> Outcome<Vec<T>> {
        let Report { input, result, .. } = &self.report;
        let length = result.shape.iter().product();
        let mut values = Vec::new();
        reserve::<T>(&mut values, length, "the result")?;
        values.resize(length, T::default());

        let computation = &self.asked.computation;
        let options = Options::default().precision(computation.precision);
        let phase = Phase::new("computing", logits.len() as u64);
        let mut spent = Progress::default();
        let clock = Instant::now();
        let request =
            Request::new(computation.op, logits, &input.shape, computation.axes(input.shape.len())).options(options);
        self.chosen.engine.answer_observed_blocking(&request, &mut values, |progress| {
            spent = progress;
            phase.at(progress.done);
        })?;
        let times = &mut self.report.seconds;
        (times.upload, times.compute, times.read_back) = (spent.upload, spent.compute, spent.read_back);
        times.set_up = clock.elapsed().saturating_sub(spent.upload + spent.compute + spent.read_back);
        Ok(values)
    }

    /// Reports, on the stream that the result has left free.
    fn tell(&self) -> Outcome {
        match (&self.destination, self.asked.json) {
            (None, false) => print(self.report.summary().as_bytes()),
            (_, true) if self.json_on_standard_error() => {
                note(self.report.json().trim_end());
                Ok(())
            }
            (_, true) => print(self.report.json().as_bytes()),
            (Some(_), false) => {
                note(&self.report.written());
                Ok(())
            }
        }
    }

    /// Whoever looks at the summary need not be told twice.
    fn summary_is_watched(&self) -> bool {
        self.destination.is_none() && !self.asked.json && io::stdout().is_terminal()
    }

    /// Where the JSON object goes to standard error, nothing else does.
    fn json_on_standard_error(&self) -> bool {
        self.asked.json && self.destination.as_ref().is_some_and(Destination::is_stdout)
    }

    fn op(&self) -> Op {
        self.asked.computation.op
    }
}

/// Who gave integers to a GPU may wonder what f64 has to do with it.
fn about_integers(error: Error, stored: Stored) -> Failure {
    let unsupported = matches!(error, Error::UnsupportedDtype { .. });
    match Failure::from(error) {
        Failure::Device(message) if unsupported && !matches!(stored, Stored::Float(_)) => {
            Failure::Device(format!("{message} (elements of type {stored} are computed in f64, as in NumPy)"))
        }
        other => other,
    }
}
