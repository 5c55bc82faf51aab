//! The CPU path and the textbook, and what the host's own memory allows: copies, readings and fillings of the same
//! bytes by as many threads.

use std::hint::black_box;

use wgpu_softmax::{Element, Op, reference};

use super::cases::Case;
use super::clock::{Budget, Timing, seconds};
use super::data::{self, Number, Regions};
use super::judge::{Errors, Inputs, Truth, one_hot};
use super::one_call::{OneCall, Results, compute};
use crate::failure::{Failure, Outcome};

/// Inputs and results take turns until together they are so many bytes, more than most caches hold.
pub const ROTATED: u64 = 512 << 20;

/// However small they are.
const MOST_TURNS: u64 = 1 << 14;

/// How many inputs and results of so many bytes together take turns.
pub fn turns(bytes: u64) -> usize {
    ROTATED.div_ceil(bytes.max(1)).clamp(1, MOST_TURNS) as usize
}

/// Which threads compute.
#[derive(Debug)]
pub enum Threads {
    /// Rayon's own, called from outside of them as programs do.
    All,
    /// A pool of one, which the caller belongs to.
    One(rayon::ThreadPool),
}

impl Threads {
    pub fn one() -> Outcome<Threads> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build();
        pool.map(Threads::One).map_err(|error| Failure::Device(format!("cannot start a thread: {error}")))
    }

    pub fn count(&self) -> usize {
        match self {
            Threads::All => rayon::current_num_threads(),
            Threads::One(_) => 1,
        }
    }

    pub fn run<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        match self {
            Threads::All => work(),
            Threads::One(pool) => pool.install(work),
        }
    }
}

/// Host memory for every case of one type.
#[derive(Debug)]
pub struct Memory<T: Element> {
    pub logits: Vec<T>,
    pub operand: Vec<T>,
    pub labels: Vec<u32>,
    pub result: Vec<T>,
    pub losses: Vec<T::Computed>,
    /// Whether inputs and results take turns, or are the same ones each time.
    pub in_turns: bool,
}

impl<T: Number> Memory<T> {
    /// Room for all `cases`, each with its turns, and for the results of those that are computed `here`; all of it
    /// touched, so that no page is new when it is timed.
    ///
    /// # Errors
    /// Where there is not so much memory.
    pub fn for_cases(cases: &[Case], here: impl Fn(&Case) -> bool) -> Outcome<Memory<T>> {
        let most = |elements: fn(&Case) -> usize, of: &dyn Fn(&Case) -> bool| {
            let of_case =
                |case: &Case| Regions::new(elements(case), T::DTYPE, turns(case.bytes())).elements();
            cases.iter().filter(|case| of(case)).map(of_case).max().unwrap_or(0)
        };
        let logits = most(Case::logits, &|_| true);
        let operand = most(Case::logits, &|case| case.op.operand().is_some());
        let result = most(Case::gradient_or_result, &here);
        let losses = most(Case::losses, &here);
        let bytes = (logits + operand + result) as u64 * T::DTYPE.bytes()
            + losses as u64 * T::DTYPE.computed().bytes();
        let too_much = |_| {
            let gibibytes = bytes as f64 / f64::from(1u32 << 30);
            Failure::Input(format!(
                "there is no memory for {gibibytes:.1} GiB of inputs and results: give smaller shapes"
            ))
        };
        Vec::<u8>::new().try_reserve_exact(bytes as usize).map_err(too_much)?;
        let logits: Vec<T> = data::logits(logits);
        // The same numbers in other places: no row is its own operand.
        let operand = match operand {
            0 => Vec::new(),
            length => [&logits[1..length], &logits[..1]].concat(),
        };
        Ok(Memory {
            logits,
            operand,
            labels: Vec::new(),
            result: vec![T::of(1.0); result],
            losses: vec![T::of(1.0).computed(); losses],
            in_turns: true,
        })
    }

    /// What a case is computed from at a turn, and where its results go.
    pub fn of_turn(&mut self, case: &Case, turn: usize) -> (Inputs<'_, T>, Results<'_, T>) {
        let count = if self.in_turns { turns(case.bytes()) } else { 1 };
        let inputs = Regions::new(case.logits(), T::DTYPE, count).of_turn(turn);
        let result = Regions::new(case.gradient_or_result(), T::DTYPE, count).of_turn(turn);
        let losses = Regions::new(case.losses(), T::DTYPE, count).of_turn(turn);
        let inputs = Inputs {
            logits: &self.logits[inputs.clone()],
            operand: self.operand.get(inputs).unwrap_or_default(),
            labels: &self.labels,
        };
        let results = Results {
            result: self.result.get_mut(result).unwrap_or_default(),
            losses: self.losses.get_mut(losses).unwrap_or_default(),
        };
        (inputs, results)
    }

    /// Draws the labels that a case needs.
    pub fn label(&mut self, case: &Case) {
        if case.op.is_loss() && self.labels.len() != case.batch.rows {
            self.labels = Vec::new();
        }
        if case.op.is_loss() {
            self.labels = data::labels(case.batch.rows, case.batch.classes);
        }
    }
}

/// What is known of right answers to a case: of the result, and of the losses beside a gradient.
#[derive(Debug)]
pub struct Judge {
    result: Truth,
    losses: Option<Truth>,
}

impl Judge {
    pub fn of<T: Number>(case: &Case, inputs: Inputs<'_, T>, most: usize) -> Judge {
        let losses = Case { op: Op::CrossEntropy, ..*case };
        Judge {
            result: Truth::of(*case, inputs, most),
            losses: (case.op == Op::CrossEntropyGradient).then(|| Truth::of(losses, inputs, most)),
        }
    }

    /// The rows that are judged.
    pub fn rows(&self) -> &[usize] {
        self.result.rows()
    }

    /// The errors of a result, and of losses where there are some.
    pub fn errors(
        &self,
        result: impl Fn(usize) -> f64,
        losses: impl Fn(usize) -> f64,
        case: &Case,
    ) -> Errors {
        match &self.losses {
            Some(truth) => self.result.errors(result).or(truth.errors(losses)),
            None if case.op == Op::CrossEntropy => self.result.errors(losses),
            None => self.result.errors(result),
        }
    }
}

/// One call's errors.
pub fn errors_of_one_call<T: Number>(
    on: &impl OneCall,
    case: &Case,
    memory: &mut Memory<T>,
    judge: &Judge,
) -> wgpu_softmax::Result<Errors> {
    let (inputs, results) = memory.of_turn(case, 0);
    // Nothing of an earlier answer may pass for this one.
    results.result.fill(T::of(f64::NAN));
    results.losses.fill(T::of(f64::NAN).computed());
    compute(on, case, inputs, results)?;
    let (_, Results { result, losses }) = memory.of_turn(case, 0);
    Ok(judge.errors(
        |place| result.get(place).map_or(f64::NAN, |value| value.value()),
        |place| losses.get(place).map_or(f64::NAN, |&loss| T::computed_value(loss)),
        case,
    ))
}

/// How long one call takes.
pub fn time_one_call<T: Number>(
    on: &impl OneCall,
    case: &Case,
    memory: &mut Memory<T>,
    budget: &Budget,
) -> wgpu_softmax::Result<Timing> {
    budget.measure(|turn| {
        let (inputs, results) = memory.of_turn(case, turn);
        let mut outcome = Ok(());
        let time = seconds(|| outcome = compute(on, case, inputs, results));
        outcome?;
        Ok(time)
    })
}

/// How long the textbook takes, row by row on one thread.
pub fn time_reference<T: Number>(case: &Case, memory: &mut Memory<T>, budget: &Budget) -> Timing {
    let (inputs, _) = memory.of_turn(case, 0);
    let wide = |values: &[T]| values.iter().map(|&value| value.value()).collect::<Vec<f64>>();
    let (logits, operand) = (wide(inputs.logits), wide(inputs.operand));
    let timed = budget.measure(|_| {
        Ok::<f64, ()>(seconds(|| {
            for (row, logits) in logits.chunks(case.batch.classes).enumerate() {
                let operand = operand.get(row * case.batch.classes..).unwrap_or_default();
                black_box(answer_of_textbook(case.op, logits, operand, inputs.labels.get(row).copied()));
            }
        }))
    });
    timed.unwrap_or_else(|()| Timing::of(Vec::new()))
}

fn answer_of_textbook(op: Op, row: &[f64], operand: &[f64], label: Option<u32>) -> Vec<f64> {
    let targets = || one_hot(row.len(), label);
    let operand = operand.get(..row.len()).unwrap_or_default();
    match op {
        Op::CrossEntropy => vec![reference::cross_entropy(row, &targets())],
        Op::CrossEntropyGradient => reference::cross_entropy_gradient(row, &targets()),
        Op::LogSoftmax => reference::log_softmax(row),
        Op::LogSumExp => vec![reference::log_sum_exp(row)],
        Op::Jacobian => reference::jacobian(row),
        Op::LogSoftmaxJacobian => reference::log_softmax_jacobian(row),
        Op::Vjp | Op::Jvp => reference::vjp(row, operand),
        Op::LogSoftmaxVjp => reference::log_softmax_vjp(row, operand),
        Op::LogSoftmaxJvp => reference::log_softmax_jvp(row, operand),
        _ => reference::softmax(row),
    }
}
