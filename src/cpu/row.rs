//! Rows whose logits lie next to each other, and are many enough to fill the lanes.
//!
//! Three looks at each logit: for the maximum; for the terms exp(x − maximum) and their sum, the terms kept
//! in the result where softmax wants them; for the last step. The first two are done stretch by stretch,
//! while it lies in the nearest cache. The stretches of a very long row are spread over threads.

use crate::{Op, Options, Output};

use super::instruction_set::{InstructionSet, Task};
use super::lanes::{self, BLOCK, LANES, STRETCH, Totals};
use super::real::Real;
use super::statistics::{Finish, Statistics};
use super::threads;

/// Logits of one row that are worth a task of their own: a whole number of stretches.
const LOGITS_PER_PIECE: usize = 16 * STRETCH;

/// Computes every row of a compact `rows × classes` batch.
pub(super) fn compute<T: Real>(
    instructions: InstructionSet,
    op: Op,
    logits: &[T],
    classes: usize,
    result: &mut [T],
    options: &Options,
) {
    let results_per_row = match op.output() {
        Output::PerElement => classes,
        _ => 1,
    };
    let rows_per_task = (threads::LOGITS_PER_TASK / classes).max(1);
    threads::map_pieces(result, rows_per_task * results_per_row, |task, result| {
        let logits = logits.get(task * rows_per_task * classes..).unwrap_or_default();
        if classes <= LOGITS_PER_PIECE {
            instructions.run(WholeRows { op, logits, classes, result, results_per_row, options });
        } else if let Some(logits) = logits.get(..classes) {
            very_long_row(instructions, op, logits, result, options);
        }
    });
}

/// One row in pieces, each a task.
fn very_long_row<T: Real>(
    instructions: InstructionSet,
    op: Op,
    logits: &[T],
    result: &mut [T],
    options: &Options,
) {
    let pieces: Vec<&[T]> = logits.chunks(LOGITS_PER_PIECE).collect();
    let piece = |index: usize| pieces.get(index).copied().unwrap_or_default();
    match op.output() {
        Output::PerElement => {
            let parts = threads::map_pieces(result, LOGITS_PER_PIECE, |index, terms| {
                instructions.run(Measure { op, logits: piece(index), terms })
            });
            let row = Statistics::join(parts.iter().flatten());
            threads::map_pieces(result, LOGITS_PER_PIECE, |index, result| {
                let parts = parts.get(index).map_or(&[][..], Vec::as_slice);
                instructions.run(Write { op, logits: piece(index), parts, row: &row, result, options });
            });
        }
        _ => result.fill(statistics_of_very_long_row(instructions, logits).log_sum_exp()),
    }
}

fn statistics_of_very_long_row<T: Real>(instructions: InstructionSet, logits: &[T]) -> Statistics {
    let pieces: Vec<&[T]> = logits.chunks(LOGITS_PER_PIECE).collect();
    let parts = threads::map(pieces.len(), |index| {
        let logits = pieces.get(index).copied().unwrap_or_default();
        instructions.run(Measure { op: Op::LogSumExp, logits, terms: &mut [] })
    });
    Statistics::join(parts.iter().flatten())
}

/// The statistics of every row, from which its logarithms follow: a task of the caller's.
pub(super) fn statistics<T: Real>(
    instructions: InstructionSet,
    logits: &[T],
    classes: usize,
) -> Vec<Statistics> {
    if classes > LOGITS_PER_PIECE {
        let rows = logits.chunks_exact(classes);
        return rows.map(|logits| statistics_of_very_long_row(instructions, logits)).collect();
    }
    instructions.run(MeasureRows { logits, classes })
}

struct MeasureRows<'a, T> {
    logits: &'a [T],
    classes: usize,
}

impl<T: Real> Task for MeasureRows<'_, T> {
    type Output = Vec<Statistics>;

    #[inline(always)]
    fn run(self) -> Vec<Statistics> {
        let mut rows = Vec::with_capacity(self.logits.len() / self.classes);
        for logits in self.logits.chunks_exact(self.classes) {
            rows.push(match self.classes <= STRETCH {
                true => measure_stretch(Op::LogSumExp, logits, &mut []),
                false => Statistics::join(&Measure { op: Op::LogSumExp, logits, terms: &mut [] }.run()),
            });
        }
        rows
    }
}

/// Rows one after the other.
struct WholeRows<'a, T> {
    op: Op,
    logits: &'a [T],
    classes: usize,
    result: &'a mut [T],
    results_per_row: usize,
    options: &'a Options,
}

impl<T: Real> Task for WholeRows<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let WholeRows { op, logits, classes, result, results_per_row, options } = self;
        let rows = logits.chunks_exact(classes).zip(result.chunks_exact_mut(results_per_row));
        if classes <= STRETCH {
            for (logits, result) in rows {
                let row = measure_stretch(op, logits, result);
                match op.output() {
                    Output::PerElement => write_stretch(row.finish(&row, op, options), logits, result),
                    _ => result.fill(row.log_sum_exp()),
                }
            }
        } else {
            for (logits, result) in rows {
                let parts = Measure { op, logits, terms: result }.run();
                let row = Statistics::join(&parts);
                match op.output() {
                    Output::PerElement => {
                        Write { op, logits, parts: &parts, row: &row, result, options }.run()
                    }
                    _ => result.fill(row.log_sum_exp()),
                }
            }
        }
    }
}

/// The statistics of each stretch of a piece; for softmax, also the terms.
struct Measure<'a, T> {
    op: Op,
    logits: &'a [T],
    /// As many as logits for softmax; otherwise left alone.
    terms: &'a mut [T],
}

impl<T: Real> Task for Measure<'_, T> {
    type Output = Vec<Statistics>;

    #[inline(always)]
    fn run(self) -> Vec<Statistics> {
        // A loop, not `map` and `collect`: those are not inlined, and would be compiled for the baseline.
        let mut parts = Vec::with_capacity(self.logits.len().div_ceil(STRETCH));
        let mut terms = self.terms.chunks_mut(STRETCH);
        for logits in self.logits.chunks(STRETCH) {
            parts.push(measure_stretch(self.op, logits, terms.next().unwrap_or_default()));
        }
        parts
    }
}

/// The last step for each element of a piece, given the statistics of its stretches and of the row.
struct Write<'a, T> {
    op: Op,
    logits: &'a [T],
    parts: &'a [Statistics],
    row: &'a Statistics,
    /// The terms for softmax.
    result: &'a mut [T],
    options: &'a Options,
}

impl<T: Real> Task for Write<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let stretches = self.logits.chunks(STRETCH).zip(self.result.chunks_mut(STRETCH));
        for ((logits, result), part) in stretches.zip(self.parts) {
            write_stretch(part.finish(self.row, self.op, self.options), logits, result);
        }
    }
}

#[inline(always)]
fn measure_stretch<T: Real>(op: Op, logits: &[T], terms: &mut [T]) -> Statistics {
    match op {
        Op::Softmax => measure::<T, true>(logits, terms),
        _ => measure::<T, false>(logits, terms),
    }
}

#[inline(always)]
fn measure<T: Real, const KEPT: bool>(logits: &[T], terms: &mut [T]) -> Statistics {
    let (chunks, tail) = logits.as_chunks::<LANES>();
    // −∞ takes no part in anything, so the last chunk can be filled up with it.
    let mut last = [T::NEG_INFINITY; LANES];
    for (place, &x) in last.iter_mut().zip(tail) {
        *place = x;
    }

    let mut maxima = lanes::maxima(chunks);
    lanes::take_larger(&mut maxima, &last);
    let maximum = lanes::across(&maxima);
    let anchors = [lanes::anchor(maximum); LANES];

    let mut totals = Totals::<T, KEPT>::EMPTY;
    let (blocks, rest) = chunks.as_chunks::<BLOCK>();
    let (kept, kept_tail) = terms.as_chunks_mut::<LANES>();
    let (kept_blocks, kept_rest) = kept.as_chunks_mut::<BLOCK>();
    if KEPT {
        for (block, kept) in blocks.iter().zip(kept_blocks) {
            *kept = totals.add(block.each_ref(), &anchors);
        }
        for (chunk, kept) in rest.iter().zip(kept_rest) {
            [*kept] = totals.add([chunk], &anchors);
        }
    } else {
        for block in blocks {
            totals.add(block.each_ref(), &anchors);
        }
        for chunk in rest {
            totals.add([chunk], &anchors);
        }
    }
    if !tail.is_empty() {
        let [last] = totals.add([&last], &anchors);
        if KEPT {
            for (kept, term) in kept_tail.iter_mut().zip(last) {
                *kept = term;
            }
        }
    }
    totals.join_lanes();
    totals.statistics(0, maximum)
}

#[inline(always)]
fn write_stretch<T: Real>(finish: Finish<T>, logits: &[T], result: &mut [T]) {
    match finish {
        Finish::Fill(value) => result.fill(value),
        Finish::Scale(factor) => {
            for term in result {
                *term = *term * factor;
            }
        }
        Finish::Subtract { maximum, log_sum } => {
            for (result, &x) in result.iter_mut().zip(logits) {
                *result = (x - maximum) - log_sum;
            }
        }
    }
}
