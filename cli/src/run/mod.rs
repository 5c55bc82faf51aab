//! `run`: arrays in, the result out or a summary of it, window by window.
//!
//! [`windows`] cuts the rows so that a window and its computation fit the memory, [`inputs`] opens and reads what comes
//! beside the logits, [`loss`] asks the library for a cross-entropy, [`pieces`] computes rows that do not fit,
//! [`outputs`] writes, and [`resume`] knows how far an earlier run has come. Everything that can be known to fail does so
//! before the elements are read.
//!
//! There is no other path for arrays that fit: they are one window.

mod inputs;
mod loss;
mod outputs;
mod pieces;
mod resume;
mod windows;

use std::io::{self, IsTerminal};
use std::time::Instant;

use half::{bf16, f16};
use wgpu_softmax::{
    Device, Error, FullyMasked, Op, Operand, Options, Output, Precision, Progress, Reduction, Request,
};

use crate::args::{Operation, Run, Temperature};
use crate::arrays::{Decimal, Float, Incoming, Numbers, Stored, Written, reserve};
use crate::device::{self, Chosen};
use crate::failure::{Failure, Outcome};
use crate::interruption;
use crate::output::{note, print};
use crate::progress::Work;
use crate::report::{self, Adjusted, Input, Report, Shown, Times};

use inputs::{Inputs, Shapes};
use loss::Tally;
use outputs::{Outputs, Writing};
use resume::{Origin, Record, SoFar};
use windows::{Position, RowBytes, Window, Windows};

/// Everything that is settled before the elements are read.
struct Task<'a> {
    asked: &'a Run,
    shapes: Shapes,
    outputs: Outputs,
    chosen: Chosen,
    report: Report,
}

/// Everything that changes as window after window is computed.
struct Course {
    windows: Windows,
    logits: Incoming,
    inputs: Inputs,
    tally: Tally,
    writing: Writing,
    so_far: SoFar,
    record: Option<Record>,
}

/// Bytes of a row's loss on its way, with what it is made of.
const LOSS_BYTES: u64 = 64;

/// What a window is computed from.
#[derive(Clone, Copy)]
struct Given<'a> {
    shapes: &'a Shapes,
    window: &'a Window,
    logits: &'a Numbers,
    inputs: &'a Inputs,
    options: Options,
}

/// What a window results in, each array empty where it was not asked for.
#[derive(Default)]
struct Answer<R> {
    result: Vec<R>,
    sign: Vec<R>,
    gradient: Vec<R>,
    log_probabilities: Vec<R>,
}

/// Computes over the input as asked.
pub fn run(asked: &Run) -> Outcome {
    interruption::watch()?;
    let logits = Incoming::open(&asked.input)?;
    let (task, inputs) = Task::new(asked, &logits)?;
    match task.report.result.dtype {
        Float::F16 => task.finish::<f16>(logits, inputs),
        Float::Bf16 => task.finish::<bf16>(logits, inputs),
        Float::F32 => task.finish::<f32>(logits, inputs),
        Float::F64 => task.finish::<f64>(logits, inputs),
    }
}

impl<'a> Task<'a> {
    /// Settles what the inputs need, and refuses what can be known to fail before their elements are read.
    fn new(asked: &'a Run, logits: &Incoming) -> Outcome<(Task<'a>, Inputs)> {
        let computation = &asked.computation;
        let shape = logits.shape();
        let shapes = Shapes::new(shape, computation.axes(shape.len()).resolve(shape.len())?);
        let result_shape = outputs::result_shape(asked, &shapes)?;
        if asked.adjusting.causal && (shape.len() < 2 || shapes.axes != [shape.len() - 1]) {
            return Err(Error::CausalAxes { shape: shape.to_vec() }.into());
        }
        let others = Inputs::open(asked, &shapes)?;
        let dtype = logits.stored().result(computation.dtype);
        let outputs = Outputs::new(asked, &shapes, &result_shape, dtype)?;

        let clock = Instant::now();
        let chosen =
            device::open(&computation.device, dtype.computed().dtype(), computation.patience.timeout)
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

    /// Reads, computes and writes window after window, and reports.
    fn finish<R: Written>(mut self, logits: Incoming, inputs: Inputs) -> Outcome {
        if !self.json_on_standard_error() && !self.summary_is_watched() {
            note(&format!("computing on {}", report::device(&self.chosen.identity)));
        }
        let mut course = self.begin::<R>(logits, inputs)?;
        let computed = match asked_in_pieces(self.asked) {
            Some(Op::CrossEntropy) if course.windows.cuts_rows => {
                self.compute_losses_in_pieces::<R>(&mut course)
            }
            Some(op) if course.windows.cuts_rows => self.compute_in_pieces::<R>(&mut course, op),
            _ => self.compute::<R>(&mut course),
        };
        match computed {
            Err(Failure::Cancelled { signal, .. }) if course.record.is_some() => {
                return Err(Failure::Cancelled { signal, can_go_on: true });
            }
            ended => ended?,
        }
        let clock = Instant::now();
        let Course { logits, inputs, writing, record, .. } = course;
        // A result may take an input's name, which Windows gives to nobody while the file that had it is open.
        drop((logits, inputs));
        writing.finish()?;
        if let Some(record) = record {
            record.remove();
        }
        self.report.seconds.write += clock.elapsed();
        self.chosen.save_pipelines(self.asked.keep_pipelines.as_deref())?;
        self.tell()
    }

    /// Settles how the rows are cut, waits for what comes by pipes, and begins to write or goes on with it.
    fn begin<R: Written>(&mut self, mut logits: Incoming, mut inputs: Inputs) -> Outcome<Course> {
        let asked = self.asked;
        let origin = match asked.resume {
            true => {
                let all = std::iter::once(&logits).chain(inputs.all().map(|(_, input)| input));
                Some((self.outputs.progress()?, Origin::new(asked, &self.chosen.identity, all)?))
            }
            false => None,
        };
        let clock = Instant::now();
        logits.arrive()?;
        inputs.arrive()?;
        // What a header merely claims is known for what it is by now.
        let windows = Windows::new(&self.shapes, &self.row_bytes::<R>(&logits, &inputs), asked.memory)?;
        if windows.cuts_rows && self.chosen.engine.uses_gpu(R::FLOAT.dtype()) {
            self.chosen = device::open(&Device::Cpu, R::FLOAT.dtype(), asked.computation.patience.timeout)?;
            self.chosen.identity.why = "it takes rows that do not fit the memory in pieces".into();
            self.report.device = self.chosen.identity.clone();
            self.mention(&format!("computing on {}", report::device(&self.chosen.identity)));
        }
        if let Some(gpu) = self.chosen.engine.gpu() {
            gpu.stream_within(windows.computing);
        }
        let mut tally = Tally::default();
        if let Some(loss) = &mut self.report.loss {
            let computed = R::FLOAT.computed();
            tally = Tally::new(&asked.losing, &self.shapes, &mut inputs, computed, windows.cuts_rows)?;
            loss.counted = tally.counted;
        }
        self.report.seconds.read = clock.elapsed();

        let writing = self.outputs.begin(R::FLOAT, asked.resume)?;
        let mut so_far = SoFar::default();
        let record = origin.map(|(path, origin)| {
            let (record, found) = Record::open(path, origin, writing.is_whole);
            match found {
                Ok(found) => so_far = found,
                Err(Some(why)) => {
                    self.mention(&format!("starting over: there is an unfinished result, but {why}"));
                }
                Err(None) => {}
            }
            record
        });
        if so_far.position != Position::default() {
            let Position { row, part } = so_far.position;
            let begun = if windows.cuts_rows {
                format!(" and {part} classes of the next one")
            } else {
                String::new()
            };
            self.mention(&format!("going on with an unfinished result, {row} rows{begun} of which are done"));
        }
        Ok(Course { windows, logits, inputs, tally, writing, so_far, record })
    }

    /// All windows that are left.
    fn compute<R: Written>(&mut self, course: &mut Course) -> Outcome {
        let Course { windows, logits, inputs, tally, writing, so_far, record } = course;
        let (asked, shapes) = (self.asked, self.shapes.clone());
        let float = logits.stored().at_most(R::FLOAT);
        let output = self.output();
        let mut shown = Shown::new(output.unwrap_or(Output::PerRow), &shapes.logits, &shapes.axes);
        shown.recall(&so_far.seen);
        let work = Work::new("computing", windows.share_until(Position { row: shapes.row_count(), part: 0 }));
        let mut answer = Answer::default();
        loop {
            let before = windows.share_until(so_far.position);
            work.at(before);
            work.go_on()?;
            let window = windows.at(&shapes, so_far.position);
            let clock = Instant::now();
            let of_window = logits.read_region_as(float, &window.logits, &work)?;
            inputs.read(&shapes, &window, R::FLOAT.computed(), &work)?;
            self.report.seconds.read += clock.elapsed();

            let given = Given {
                shapes: &shapes,
                window: &window,
                logits: &of_window,
                inputs,
                options: options(asked),
            };
            let look = (window.first, &window.logits.lengths, &window.part);
            match asked.operation {
                Operation::Rows(op) => {
                    self.answer(weighted(op, asked), &given, &mut answer, |done| work.at(before + done))?;
                    shown.look(look.0, look.1, &shapes.axes, look.2, &answer.result);
                }
                Operation::CrossEntropy => {
                    let clock = Instant::now();
                    let lost = loss::compute::<R>(&self.chosen.engine, asked, &given, *tally, so_far.sums)?;
                    self.report.seconds.compute += clock.elapsed();
                    (answer, so_far.sums) = (lost.answer, lost.sums);
                    if output.is_some() {
                        shown.look(look.0, look.1, &shapes.axes, look.2, &lost.losses);
                    } else if let (Some(loss), [value]) = (&mut self.report.loss, &lost.losses[..]) {
                        loss.value = Some(value.decimal());
                    }
                }
            }
            drop(of_window);

            let clock = Instant::now();
            let is_last = windows.end_at(window.next);
            writing.write(output, &shapes, &window, &answer, &work)?;
            if let (None, true, Some(&number)) = (output, is_last, answer.result.first()) {
                writing.write_number(number, &work)?;
            }
            (so_far.position, so_far.seen) = (window.next, shown.seen().to_vec());
            if let (Some(record), false) = (record.as_mut(), is_last) {
                writing.secure()?;
                record.keep(so_far)?;
            }
            self.report.seconds.write += clock.elapsed();
            if is_last {
                break;
            }
        }
        [self.report.first_rows, self.report.last_rows] = match output {
            Some(_) => shown.rows(),
            None => Default::default(),
        };
        Ok(())
    }

    /// An operation on the rows of a window; `observe` is told how many logits are done.
    fn answer<R: Written>(
        &mut self,
        op: Op,
        given: &Given<'_>,
        answer: &mut Answer<R>,
        observe: impl Fn(u64),
    ) -> Outcome {
        let Task { asked, chosen, report, .. } = self;
        let Given { shapes, window, logits, inputs, options } = *given;
        let (rows, classes) = (window.rows.elements(), shapes.class_count());
        let length = match op.output() {
            Output::PerElement => rows * classes,
            Output::PerRow => rows,
            Output::TwoPerRow => 2 * rows,
            Output::PerPair => rows * window.part.len() * classes,
        };
        // The memory of the window before.
        let mut values = std::mem::take(&mut answer.result);
        values.clear();
        reserve::<R>(&mut values, length, "the result")?;
        values.resize(length, R::default());

        let shape = &window.logits.lengths;
        let mut request = Request::new(op, logits.elements(), shape, asked.computation.axes(shape.len()))
            .adjustment(inputs.adjustment(&asked.adjusting))
            .options(options);
        if op.output() == Output::PerPair {
            request = request.jacobian_rows(window.part.start as u64..window.part.end as u64);
        }
        if let Some(operand) = inputs.operand() {
            request = match op.operand() {
                Some(Operand::Cotangent) => request.cotangent(operand),
                Some(Operand::Tangent) => request.tangent(operand),
                _ => request.weights(operand),
            };
        }
        let mut spent = Progress::default();
        let clock = Instant::now();
        chosen.engine.answer_observed_blocking(&request, &mut values, |progress| {
            spent = progress;
            if op.output() != Output::PerPair {
                observe(progress.done);
            }
        })?;
        let times = &mut report.seconds;
        times.upload += spent.upload;
        times.compute += spent.compute;
        times.read_back += spent.read_back;
        times.set_up += clock.elapsed().saturating_sub(spent.upload + spent.compute + spent.read_back);

        (answer.result, answer.sign) = match op.output() {
            Output::TwoPerRow => values.chunks_exact(2).map(|pair| (pair[0], pair[1])).unzip(),
            _ => (values, Vec::new()),
        };
        Ok(())
    }

    /// Bytes that a row takes, with what is read for it and what comes of it.
    fn row_bytes<R: Written>(&self, logits: &Incoming, inputs: &Inputs) -> RowBytes {
        let Run { operation, losing, .. } = self.asked;
        let (classes, result) = (self.shapes.class_count() as u64, R::FLOAT.bytes());
        let logit = logits.stored().at_most(R::FLOAT).bytes() * if logits.fortran() { 2 } else { 1 };
        let per_element = classes.saturating_mul(result);
        let (written, jacobian_row) = match operation {
            Operation::Rows(op) => match op.output() {
                Output::PerElement => (per_element, None),
                Output::PerRow => (4 * result, None),
                Output::TwoPerRow => (4 * result, None),
                Output::PerPair => (0, Some(per_element)),
            },
            Operation::CrossEntropy => {
                let arrays = [&losing.grad, &losing.log_probs].into_iter().flatten().count() as u64;
                (per_element.saturating_mul(arrays).saturating_add(LOSS_BYTES), None)
            }
        };
        let read = classes.saturating_mul(logit);
        let read = read.saturating_add(inputs.row_bytes(&self.shapes, R::FLOAT.computed()));
        let may_use_cpu =
            self.asked.computation.device == Device::Auto || !self.chosen.engine.uses_gpu(R::FLOAT.dtype());
        let in_pieces = asked_in_pieces(self.asked).filter(|_| may_use_cpu);
        let class_of_piece = in_pieces.map(|op| {
            let computed = R::FLOAT.computed();
            // What is computed in: logits, whether each takes part, and terms or results; an operand, or targets in f64.
            let more = match op {
                Op::CrossEntropy => Float::F64.bytes(),
                _ if op.operand().is_some() => computed.bytes(),
                _ => 0,
            };
            let copies = 1 + 2 * computed.bytes() + more;
            let results = if op == Op::CrossEntropy { 2 * result } else { result };
            logit + inputs.class_bytes(&self.shapes, computed) + copies + results
        });
        RowBytes { read, written, jacobian_row, class_of_piece }
    }

    /// What the result has a value for; none where it is a single number, put together from all windows.
    fn output(&self) -> Option<Output> {
        match self.asked.operation {
            Operation::Rows(op) => match weighted(op, self.asked).output() {
                Output::TwoPerRow => Some(Output::PerRow),
                output => Some(output),
            },
            Operation::CrossEntropy => match self.asked.losing.reduction.unwrap_or_default() {
                Reduction::None => Some(Output::PerRow),
                Reduction::Sum | Reduction::Mean => None,
            },
        }
    }

    /// A line for whoever watches.
    fn mention(&self, line: &str) {
        if !self.json_on_standard_error() {
            note(line);
        }
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

/// The operation, if it is one that rows can be computed of in pieces.
fn asked_in_pieces(asked: &Run) -> Option<Op> {
    match asked.operation {
        Operation::Rows(op) => Some(weighted(op, asked)).filter(|op| op.output() != Output::PerPair),
        Operation::CrossEntropy => Some(Op::CrossEntropy),
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
