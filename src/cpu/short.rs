//! Rows of no more classes than a chunk has lanes, next to each other: a few of them in each chunk.
//!
//! A row has a *segment* of the lanes, the next power of two of its classes; one permutation brings the rows of a
//! chunk to their segments, one brings them back. The maximum and the sum of a row meet in all of its lanes, in
//! the order that `lanes.rs` lays down.

use crate::{FullyMasked, Op, Options};

use super::instruction_set::{InstructionSet, Machine, Task};
use super::lanes::{self, BlockSums, LANES, Lanes, chunk_of, store};
use super::real::Real;
use super::statistics::{MeasuredRows, ROWS_AT_ONCE, log_probabilities};
use super::threads;
use super::vectors::{Arithmetic, Vector};

/// Computes every row of a compact `rows × classes` batch.
pub(super) fn compute<T: Real>(
    instructions: InstructionSet,
    op: Op,
    logits: &[T],
    classes: usize,
    result: &mut [T],
    options: &Options,
) {
    let results_per_row = if op == Op::LogSumExp { 1 } else { classes };
    let segments = Segments::new(classes);
    let rows_per_task = (threads::LOGITS_PER_TASK / classes).next_multiple_of(ROWS_AT_ONCE);
    threads::map_pieces(result, rows_per_task * results_per_row, |task, result| {
        let logits = logits.get(task * rows_per_task * classes..).unwrap_or_default();
        let rows = (logits.len() / classes).min(result.len() / results_per_row);
        instructions.run(Rows {
            op,
            logits: &logits[..rows * classes],
            segments: &segments,
            result,
            options,
        });
    });
}

/// The maximum of every row and log Σ exp(x − maximum), NaN for a row with a NaN: a task of the caller's.
pub(super) fn for_each_logarithm<T: Real>(
    instructions: InstructionSet,
    logits: &[T],
    classes: usize,
    take: impl FnMut(usize, &[T], &[f64]),
) {
    let segments = Segments::new(classes);
    instructions.run(Logarithms { logits, segments: &segments, take });
}

/// How rows of so many classes lie in the lanes of a chunk.
struct Segments {
    classes: usize,
    /// Lanes that a row has.
    lanes: usize,
    /// Rows in a chunk.
    rows: usize,
    /// Where each lane's element lies, counted from the chunk's first, and a bit for each that has one.
    elements: [u32; LANES],
    with_element: u16,
    /// In which lane each element is.
    lanes_of_elements: [u32; LANES],
    /// Which of the chunk's rows each lane is of, and the first lane of each row.
    row_of_lane: [u32; LANES],
    first_lanes: [u32; LANES],
}

impl Segments {
    fn new(classes: usize) -> Self {
        let lanes = classes.next_power_of_two().min(LANES);
        let classes = classes.clamp(1, lanes);
        let of_lanes = |of: &dyn Fn(usize) -> usize| std::array::from_fn(|lane| of(lane) as u32);
        Segments {
            classes,
            lanes,
            rows: LANES / lanes,
            elements: of_lanes(&|lane| lane / lanes * classes + (lane % lanes).min(classes - 1)),
            with_element: (0..LANES).filter(|lane| lane % lanes < classes).map(|lane| 1 << lane).sum(),
            lanes_of_elements: of_lanes(&|element| (element / classes * lanes + element % classes) % LANES),
            row_of_lane: of_lanes(&|lane| lane / lanes),
            first_lanes: of_lanes(&|row| row * lanes % LANES),
        }
    }

    /// The rows that begin where `logits` does; −∞ where there is no element.
    #[inline(always)]
    fn load<V: Vector>(&self, machine: V::Machine, logits: &[V::Number]) -> V {
        let chunk: V = chunk_of(machine, logits, LANES);
        if self.classes == self.lanes {
            return chunk;
        }
        let nothing = chunk.constant(V::Number::NEG_INFINITY);
        chunk.permuted(&self.elements).kept_in(self.with_element, nothing)
    }

    /// Puts as many of the rows as there are places to where `result` begins.
    #[inline(always)]
    fn store<V: Vector>(&self, chunk: V, result: &mut [V::Number]) {
        let is_dense = self.classes == self.lanes;
        store(if is_dense { chunk } else { chunk.permuted(&self.lanes_of_elements) }, LANES, result);
    }

    /// The statistics of so many rows, of which the first begins where `logits` does.
    #[inline(always)]
    fn measure_rows<T: Real, M: Machine>(
        &self,
        machine: M,
        logits: &[T],
        rows: usize,
        measured: &mut MeasuredRows<T>,
    ) {
        for row in (0..rows).step_by(self.rows) {
            let chunk: Lanes<T, M> = self.load(machine, &logits[row * self.classes..]);
            let maxima = chunk.across(self.lanes, Vector::larger);
            let mut sums = BlockSums::<_, false>::new(lanes::anchors(maxima));
            sums.add(0, chunk);
            let [at_maximum, others] = sums.across(self.lanes);
            let first_lanes = &self.first_lanes;
            measured.set_chunk(
                row,
                maxima.permuted(first_lanes),
                at_maximum.permuted(first_lanes),
                others.permuted(first_lanes),
            );
        }
        measured.all_are_set();
    }
}

struct Rows<'a, T> {
    op: Op,
    logits: &'a [T],
    segments: &'a Segments,
    result: &'a mut [T],
    options: &'a Options,
}

impl<T: Real> Task for Rows<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<M: Machine>(self, machine: M) {
        let Rows { op, logits, segments, result, options } = self;
        if op == Op::Softmax {
            return softmax(machine, segments, logits, result, options);
        }
        let classes = segments.classes;
        let rows = logits.len() / classes;
        let mut measured = MeasuredRows::new();
        for first in (0..rows).step_by(ROWS_AT_ONCE) {
            let rows = ROWS_AT_ONCE.min(rows - first);
            let logits = &logits[first * classes..];
            segments.measure_rows(machine, logits, rows, &mut measured);
            if op == Op::LogSumExp {
                measured.log_sum_exps(&mut result[first..first + rows]);
                continue;
            }
            let subtrahends = measured.subtrahends(rows, options);
            for row in (0..rows).step_by(segments.rows) {
                let chunk: Lanes<T, M> = segments.load(machine, &logits[row * classes..]);
                let maxima: Lanes<T, M> = chunk_of(machine, &subtrahends[0][row..], LANES);
                let log_sums: Lanes<T, M> = chunk_of(machine, &subtrahends[1][row..], LANES);
                let row_of_lane = &segments.row_of_lane;
                let (maxima, log_sums) = (maxima.permuted(row_of_lane), log_sums.permuted(row_of_lane));
                let logarithms = log_probabilities(chunk, maxima, log_sums);
                segments.store(logarithms, &mut result[(first + row) * classes..]);
            }
        }
    }
}

#[inline(always)]
fn softmax<T: Real, M: Machine>(
    machine: M,
    segments: &Segments,
    logits: &[T],
    result: &mut [T],
    options: &Options,
) {
    let masked = if options.fully_masked == FullyMasked::Zero { T::ZERO } else { T::NAN };
    let step = segments.rows * segments.classes;
    for first in (0..logits.len()).step_by(step) {
        let chunk: Lanes<T, M> = segments.load(machine, &logits[first..]);
        let maxima = chunk.across(segments.lanes, Vector::larger);
        let mut sums = BlockSums::<_, true>::new(lanes::anchors(maxima));
        let terms = sums.add(0, chunk);
        let [_, sums] = sums.across(segments.lanes);
        let one = chunk.constant(T::ONE);
        let mut probabilities = terms.times(one.over(sums));
        // The greatest logit adds a 1, if it is finite.
        let regular = sums.lanes_at_least(one);
        if regular != u16::MAX {
            let empty = !sums.lanes_of_nan();
            let special = chunk.constant(masked).kept_in(empty, chunk.constant(T::NAN));
            probabilities = probabilities.kept_in(regular, special);
        }
        segments.store(probabilities, &mut result[first..]);
    }
}

struct Logarithms<'a, T, F> {
    logits: &'a [T],
    segments: &'a Segments,
    take: F,
}

impl<T: Real, F: FnMut(usize, &[T], &[f64])> Task for Logarithms<'_, T, F> {
    type Output = ();

    #[inline(always)]
    fn run<M: Machine>(mut self, machine: M) {
        let classes = self.segments.classes;
        let rows = self.logits.len() / classes;
        let mut measured = MeasuredRows::new();
        for first in (0..rows).step_by(ROWS_AT_ONCE) {
            let rows = ROWS_AT_ONCE.min(rows - first);
            self.segments.measure_rows(machine, &self.logits[first * classes..], rows, &mut measured);
            let logarithms = measured.logarithms(rows);
            (self.take)(first, &measured.maxima()[..rows], &logarithms[..rows]);
        }
    }
}
