//! `run`: arrays in, the result out or a summary of it.
//!
//! [`inputs`] opens and reads what comes beside the logits, [`loss`] asks the library for a cross-entropy,
//! [`outputs`] writes. Everything that can be known to fail does so before the elements are read.

mod inputs;
mod loss;
mod outputs;

use std::io::{self, IsTerminal};
use std::time::Instant;

use half::{bf16, f16};
use wgpu_softmax::{Error, FullyMasked, Op, Operand, Options, Output, Precision, Progress, Request};

use crate::args::{Operation, Run, Temperature};
use crate::arrays::{Float, Incoming, Numbers, Stored, Written, reserve};
use crate::device::{self, Chosen};
use crate::failure::{Failure, Outcome};
use crate::output::{note, print};
use crate::progress::Phase;
use crate::report::{self, Adjusted, Input, Report, Times};

use inputs::{Inputs, Opened, Shapes};
use outputs::Outputs;

/// Everything that is settled before the elements are read.
struct Task<'a> {
    asked: &'a Run,
    shapes: Shapes,
    outputs: Outputs,
    chosen: Chosen,
    report: Report,
}

/// What a run results in, each array empty where it was not asked for.
struct Answer<R> {
    result: Vec<R>,
    sign: Vec<R>,
    gradient: Vec<R>,
    log_probabilities: Vec<R>,
}

/// Computes over the input as asked.
pub fn run(asked: &Run) -> Outcome {
    let logits = Incoming::open(&asked.input)?;
    let (task, others) = Task::new(asked, &logits)?;
    match task.report.result.dtype {
        Float::F16 => task.finish::<f16>(logits, others),
        Float::Bf16 => task.finish::<bf16>(logits, others),
        Float::F32 => task.finish::<f32>(logits, others),
        Float::F64 => task.finish::<f64>(logits, others),
    }
}

impl<'a> Task<'a> {
    /// Settles what the inputs need, and refuses what can be known to fail before their elements are read.
    fn new(asked: &'a Run, logits: &Incoming) -> Outcome<(Task<'a>, Opened)> {
        let computation = &asked.computation;
        let shape = logits.shape();
        let shapes = Shapes::new(shape, computation.axes(shape.len()).resolve(shape.len())?);
        let result_shape = outputs::result_shape(asked, &shapes)?;
        if asked.adjusting.causal && (shape.len() < 2 || shapes.axes != [shape.len() - 1]) {
            return Err(Error::CausalAxes { shape: shape.to_vec() }.into());
        }
        let others = Opened::new(asked, &shapes)?;
        let dtype = logits.stored().result(computation.dtype);
        let outputs = Outputs::new(asked, &shapes, &result_shape, dtype)?;

        let clock = Instant::now();
        let chosen = device::open(&computation.device, dtype.computed().dtype(), computation.timeout)
            .map_err(|error| about_integers(error, logits.stored()))?;
        let chosen = if computation.tuned { chosen.tuned(dtype.computed().dtype())? } else { chosen };
        chosen.keep_pipelines(asked.keep_pipelines.as_deref());
        let report = Report {
            operation: asked.operation,
            input: Input::of(logits),
            other_inputs: others.described(),
            rows: shapes.row_count() as u64,
            classes: shapes.class_count() as u64,
            axes: shapes.axes.clone(),
            adjusted: adjusted(asked),
            loss: (asked.operation == Operation::CrossEntropy).then(|| loss::described(&asked.losing)),
            precision: match computation.precision {
                Precision::Accurate => "accurate",
                Precision::Fast => "fast",
            },
            device: chosen.identity.clone(),
            result: outputs.result(result_shape, dtype),
            other_results: outputs.others(dtype),
            seconds: Times { open_device: clock.elapsed(), ..Times::default() },
            first_rows: Vec::new(),
            last_rows: Vec::new(),
        };
        Ok((Task { asked, shapes, outputs, chosen, report }, others))
    }

    /// Reads, computes, writes and reports.
    fn finish<R: Written>(mut self, logits: Incoming, others: Opened) -> Outcome {
        if !self.json_on_standard_error() && !self.summary_is_watched() {
            note(&format!("computing on {}", report::device(&self.chosen.identity)));
        }
        let clock = Instant::now();
        let float = logits.stored().at_most(R::FLOAT);
        let logits = logits.read_as(float)?;
        let inputs = others.read(self.asked, &self.shapes, R::FLOAT.computed())?;
        self.report.seconds.read = clock.elapsed();

        let answer = match self.asked.operation {
            Operation::Rows(op) => self.answer::<R>(weighted(op, self.asked), &logits, &inputs)?,
            Operation::CrossEntropy => self.loss::<R>(&logits, &inputs)?,
        };
        drop((logits, inputs));

        let clock = Instant::now();
        self.outputs.write(&answer)?;
        self.report.seconds.write = clock.elapsed();
        self.chosen.save_pipelines(self.asked.keep_pipelines.as_deref())?;
        self.tell()
    }

    /// An operation on rows.
    fn answer<R: Written>(&mut self, op: Op, logits: &Numbers, inputs: &Inputs) -> Outcome<Answer<R>> {
        let Task { asked, shapes, chosen, report, .. } = self;
        let both = op.output() == Output::TwoPerRow;
        let length = report.result.shape.iter().product::<usize>() * if both { 2 } else { 1 };
        let mut values = Vec::new();
        reserve::<R>(&mut values, length, "the result")?;
        values.resize(length, R::default());

        let axes = asked.computation.axes(shapes.logits.len());
        let mut request = Request::new(op, logits.elements(), &shapes.logits, axes)
            .adjustment(inputs.adjustment(&asked.adjusting))
            .options(options(asked));
        if let Some(operand) = inputs.operand() {
            request = match op.operand() {
                Some(Operand::Cotangent) => request.cotangent(operand),
                Some(Operand::Tangent) => request.tangent(operand),
                _ => request.weights(operand),
            };
        }
        let phase = Phase::new("computing", logits.elements().len() as u64);
        let mut spent = Progress::default();
        let clock = Instant::now();
        chosen.engine.answer_observed_blocking(&request, &mut values, |progress| {
            spent = progress;
            phase.at(progress.done);
        })?;
        let times = &mut report.seconds;
        (times.upload, times.compute, times.read_back) = (spent.upload, spent.compute, spent.read_back);
        times.set_up = clock.elapsed().saturating_sub(spent.upload + spent.compute + spent.read_back);

        let (result, sign) = if both {
            values.chunks_exact(2).map(|pair| (pair[0], pair[1])).unzip()
        } else {
            (values, Vec::new())
        };
        let output = if both { Output::PerRow } else { op.output() };
        [report.first_rows, report.last_rows] = report::rows(output, &shapes.logits, &shapes.axes, &result);
        Ok(Answer { result, sign, gradient: Vec::new(), log_probabilities: Vec::new() })
    }

    /// Cross-entropy.
    fn loss<R: Written>(&mut self, logits: &Numbers, inputs: &Inputs) -> Outcome<Answer<R>> {
        let Task { asked, shapes, chosen, report, .. } = self;
        let clock = Instant::now();
        let lost = loss::compute::<R>(&chosen.engine, asked, shapes, logits, inputs, options(asked))?;
        report.seconds.compute = clock.elapsed();
        [report.first_rows, report.last_rows] = lost.rows;
        if let Some(loss) = &mut report.loss {
            (loss.value, loss.counted) = (lost.value, lost.counted);
        }
        Ok(lost.answer)
    }

    /// Reports, on the stream that the results have left free.
    fn tell(&self) -> Outcome {
        match (self.outputs.has_result(), self.asked.json) {
            (_, true) if self.json_on_standard_error() => note(self.report.json().trim_end()),
            (_, true) => return print(self.report.json().as_bytes()),
            (false, false) if self.outputs.use_stdout() => self.report.summary().lines().for_each(note),
            (false, false) => return print(self.report.summary().as_bytes()),
            (true, false) => note(&self.report.written()),
        }
        Ok(())
    }

    /// Whoever looks at the summary need not be told twice.
    fn summary_is_watched(&self) -> bool {
        !self.outputs.has_result()
            && !self.outputs.use_stdout()
            && !self.asked.json
            && io::stdout().is_terminal()
    }

    /// Where the JSON object goes to standard error, nothing else does.
    fn json_on_standard_error(&self) -> bool {
        self.asked.json && self.outputs.use_stdout()
    }
}

impl Input {
    /// What reports say of an array.
    fn of(incoming: &Incoming) -> Input {
        Input {
            path: incoming.name().into(),
            dtype: incoming.stored(),
            shape: incoming.shape().to_vec(),
            fortran_order: incoming.fortran(),
        }
    }
}

/// The operation, once it is known what its sum is given and what is wanted of it.
fn weighted(op: Op, asked: &Run) -> Op {
    match (op, &asked.multiplying.weights, &asked.multiplying.sign) {
        (Op::LogSumExp, Some(_), Some(_)) => Op::SignedLogSumExp,
        (Op::LogSumExp, Some(_), None) => Op::WeightedLogSumExp,
        _ => op,
    }
}

fn options(asked: &Run) -> Options {
    let Run { computation, adjusting, .. } = asked;
    let options = Options::default().precision(computation.precision).tuned(computation.tuned);
    options.fully_masked(adjusting.fully_masked)
}

/// What reports say of what became of the logits first.
fn adjusted(asked: &Run) -> Adjusted {
    let adjusting = &asked.adjusting;
    Adjusted {
        temperature: match adjusting.temperature {
            Some(Temperature::Number(number)) => Some(number),
            _ => None,
        },
        causal: adjusting.causal,
        causal_offset: adjusting.causal_offset.or(adjusting.causal.then_some(0)),
        window: adjusting.window,
        fully_masked: match adjusting.fully_masked {
            FullyMasked::Nan => "nan",
            FullyMasked::Zero => "zero",
        },
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
