//! The log-softmax and log-sum-exp of rows of a few hundred classes, up to sixteen at a time.
//!
//! What is one number for each row is a vector of up to sixteen rows: their maxima, what their exponentials are relative
//! to, their logarithms. So of all that is done once for a row, only its lanes are joined row by row, and no row waits for
//! what another one comes to. Softmax, which would have to keep the terms of all of them meanwhile, goes row by row.

use crate::{Op, Options};

use super::exponential::AnchorsOfRows;
use super::instruction_set::{InstructionSet, Machine, Task};
use super::lanes::{AHEAD, LANES, Lanes, STRETCH};
use super::real::Real;
use super::row::{maximum_of, sums_of, write_stretch};
use super::statistics::{Finish, MeasuredRows, ROWS_AT_ONCE, Take};
use super::vectors::Vector;

/// The most classes of such a row. Where results are written, the nearest cache has to hold the rows, their results, and the
/// rows to come.
pub(super) fn longest(op: Op) -> usize {
    match op {
        Op::LogSumExp => STRETCH / 8,
        Op::LogSoftmax => 3 * STRETCH / 4 / LANES,
        _ => 0,
    }
}

/// How many rows are taken at a time: what a stretch holds, if it is no more than there are lanes.
fn rows_at_once(classes: usize) -> usize {
    LANES.min(STRETCH / classes)
}

/// Computes rows, and sends the log-softmax past the caches where it is `streamed`: a task of the caller's.
pub(super) fn compute<T: Real>(
    instructions: InstructionSet,
    op: Op,
    logits: &[T],
    classes: usize,
    result: &mut [T],
    streamed: bool,
    options: &Options,
) {
    if op == Op::LogSumExp {
        instructions.run(LogSumExp { logits, classes, result });
    } else {
        instructions.run(LogSoftmax { logits, classes, result, streamed, options });
    }
}

struct LogSoftmax<'a, T> {
    logits: &'a [T],
    classes: usize,
    result: &'a mut [T],
    streamed: bool,
    options: &'a Options,
}

impl<T: Real> Task for LogSoftmax<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<M: Machine>(self, machine: M) {
        let LogSoftmax { logits, classes, result, streamed, options } = self;
        let mut measured = MeasuredRows::new();
        let rows_at_once = rows_at_once(classes);
        for first in (0..result.len() / classes).step_by(rows_at_once) {
            let (logits, result) = (&logits[first * classes..], &mut result[first * classes..]);
            let rows = rows_at_once.min(result.len() / classes);
            let written = (!streamed).then_some(result.as_ptr());
            measure(machine, logits, classes, rows, written, &mut measured);
            let subtrahends = measured.subtrahends(rows, options);
            for row in 0..rows {
                let [maximum, log_sum] = subtrahends.each_ref().map(|of_rows| of_rows[row]);
                let finish = match log_sum.widen().is_nan() {
                    true => Finish::Fill(T::NAN),
                    false => Finish::Subtract { maximum, log_sum },
                };
                let (from, result) = (&logits[row * classes..], &mut result[row * classes..]);
                write_stretch(machine, finish, from, classes, result, streamed);
            }
        }
        if streamed {
            machine.finish_streams();
        }
    }
}

struct LogSumExp<'a, T> {
    logits: &'a [T],
    classes: usize,
    result: &'a mut [T],
}

impl<T: Real> Task for LogSumExp<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<M: Machine>(self, machine: M) {
        let LogSumExp { logits, classes, result } = self;
        let mut measured = MeasuredRows::new();
        for first in (0..result.len()).step_by(ROWS_AT_ONCE) {
            let rows = ROWS_AT_ONCE.min(result.len() - first);
            let logits = &logits[first * classes..];
            measure(machine, logits, classes, rows, None, &mut measured);
            measured.log_sum_exps(&mut result[first..first + rows]);
        }
    }
}

/// Calls `take` with the number of the first of some rows, what they have come to, and the logarithm of each one's sum: a
/// task of the caller's.
pub(super) fn for_each_logarithm<T: Real>(
    instructions: InstructionSet,
    logits: &[T],
    classes: usize,
    take: &mut Take<'_, T>,
) {
    instructions.run(TakeLogarithms { logits, classes, take });
}

struct TakeLogarithms<'a, 'b, T> {
    logits: &'a [T],
    classes: usize,
    take: &'a mut Take<'b, T>,
}

impl<T: Real> Task for TakeLogarithms<'_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn run<M: Machine>(self, machine: M) {
        let TakeLogarithms { logits, classes, take } = self;
        let mut measured = MeasuredRows::new();
        let rows = logits.len() / classes;
        for first in (0..rows).step_by(ROWS_AT_ONCE) {
            let rows = ROWS_AT_ONCE.min(rows - first);
            let logits = &logits[first * classes..];
            measure(machine, logits, classes, rows, None, &mut measured);
            let logarithms = measured.logarithms(rows);
            take(first, &measured, &logarithms[..rows]);
        }
    }
}

/// The statistics of so many rows, of which the first begins where `logits` does. The cache lines from where their
/// results will be `written` are asked for meanwhile.
#[inline(always)]
fn measure<T: Real, M: Machine>(
    machine: M,
    logits: &[T],
    classes: usize,
    rows: usize,
    written: Option<*const T>,
    measured: &mut MeasuredRows<T>,
) {
    let rows_at_once = rows_at_once(classes);
    // Where the next ones are.
    let ahead = (rows_at_once * classes).max(AHEAD);
    for first in (0..rows).step_by(rows_at_once) {
        let rows = first..rows.min(first + rows_at_once);
        let mut maxima = [T::ZERO; LANES];
        for (row, maximum) in rows.clone().zip(&mut maxima) {
            *maximum = maximum_of(machine, &logits[row * classes..], classes);
        }
        let anchors = AnchorsOfRows::new::<Lanes<T, M>>(Vector::load(machine, &maxima));
        for (row, &maximum) in rows.zip(&maxima) {
            let anchors = anchors.of_row(machine, row - first);
            let written = written.map(|first| first.wrapping_add(row * classes));
            let sums = sums_of(machine, &logits[row * classes..], classes, &anchors, ahead, written);
            measured.set(row, maximum, sums);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FullyMasked;

    /// The maxima of some are so large that they are subtracted first, and some have none: nothing of it is felt by those
    /// that are taken with them.
    #[test]
    fn a_row_among_others_is_what_it_is_alone() {
        let maxima = [0.0f32, 400.0, f32::NEG_INFINITY, -3e38, f32::NAN, 7.0, f32::INFINITY, 3e38, -0.0];
        for (classes, rows) in [(65, 37), (100, 16), (190, 17), (300, 30), (512, 9)] {
            let mut logits: Vec<f32> =
                (0..rows * classes).map(|index| ((index * 37) % 101) as f32 * -0.3).collect();
            for (row, logits) in logits.chunks_exact_mut(classes).enumerate() {
                match maxima[row % maxima.len()] {
                    special if special.is_nan() => logits[row] = special,
                    maximum => logits.iter_mut().for_each(|x| *x += maximum),
                }
            }
            for op in [Op::LogSoftmax, Op::LogSumExp].into_iter().filter(|&op| classes <= longest(op)) {
                let results_per_row = if op == Op::LogSumExp { 1 } else { classes };
                for instructions in InstructionSet::all() {
                    for fully_masked in [FullyMasked::Nan, FullyMasked::Zero] {
                        let options = &Options { fully_masked, ..Options::default() };
                        let computed = |logits: &[f32]| {
                            let mut result = vec![7.0; logits.len() / classes * results_per_row];
                            compute(instructions, op, logits, classes, &mut result, false, options);
                            result.into_iter().map(f32::to_bits).collect::<Vec<u32>>()
                        };
                        let alone: Vec<u32> = logits.chunks_exact(classes).flat_map(computed).collect();
                        assert!(computed(&logits) == alone, "{op} of {rows} × {classes}, {instructions:?}");
                    }
                }
            }
        }
    }
}
