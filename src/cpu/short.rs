//! Short rows, of one block at most, next to each other: a few of them at once.
//!
//! How a few rows lie in the lanes is a [`Bundle`]'s affair: several in one chunk (`segments.rs`), two or four
//! of up to four chunks each (`few_rows.rs`), or a row in each lane (`transposed.rs`). The maximum and the sum of a row meet
//! in the lanes that it has in one chunk for all rows of the bundle, in the order that `lanes.rs` lays down, so that what is
//! done once for each row is done for all of them together.

use std::ops::Range;

use crate::{FullyMasked, Op, Options};

use super::exponential::Anchors;
use super::few_rows::FewRows;
use super::instruction_set::{InstructionSet, Machine, Task};
use super::lanes::{AHEAD, BLOCK, LANES, Lanes, chunk_of};
use super::real::Real;
use super::segments::Segments;
use super::statistics::{LastStep, MeasuredRows, ROWS_AT_ONCE, Replaced, Scaled, SubtractedOrNan, Take};
use super::threads;
use super::transposed::{self, Transposed};
use super::vectors::Vector;

/// The most classes of a row that is short. Of a wider type than f32, several rows of several chunks are more than the
/// registers hold.
pub(super) const fn longest<T>() -> usize {
    if size_of::<T>() == size_of::<f32>() { BLOCK * LANES } else { LANES }
}

/// A few rows that are computed together.
pub(super) trait Bundle: Sync {
    /// The logits or results of some rows.
    type Chunks<V: Vector>: Copy;

    /// Of each row.
    fn classes(&self) -> usize;

    /// How many there are, which all measured rows are a multiple of.
    fn rows(&self) -> usize;

    /// The row of each lane of a chunk that has something about each row, and the first lane of each row.
    fn row_of_lane(&self) -> &[u32; LANES];
    fn first_lanes(&self) -> &[u32; LANES];

    /// Places for some.
    fn chunks<V: Vector>(&self, machine: V::Machine) -> Self::Chunks<V>;

    /// The rows that begin where `logits` does; −∞ where there is no element.
    fn load<V: Vector>(&self, machine: V::Machine, logits: &[V::Number], chunks: &mut Self::Chunks<V>);

    /// Puts as many of the rows as there are places to where `result` begins.
    fn store<V: Vector>(&self, chunks: &Self::Chunks<V>, result: &mut [V::Number]);

    /// The maximum of each row, NaN passed over.
    fn maxima<V: Vector>(&self, chunks: &Self::Chunks<V>) -> V;

    /// Says for each row how many logits were the anchor, and the sum of the terms: as
    /// [`BlockSums`](super::lanes::BlockSums). Terms that are `KEPT` take the places of the logits.
    fn terms<V: Vector, const KEPT: bool>(
        &self,
        machine: V::Machine,
        chunks: &mut Self::Chunks<V>,
        anchors: &Anchors<V>,
    ) -> [V; 2];

    /// Takes a step with every chunk, given two numbers for each row.
    fn finish<V: Vector>(&self, chunks: &mut Self::Chunks<V>, of_rows: [V; 2], step: impl LastStep<V>);
}

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
    let rows_per_task =
        threads::rows_per_task(result.len() / results_per_row, classes).next_multiple_of(ROWS_AT_ONCE);
    threads::map_pieces(result, rows_per_task * results_per_row, &|task, result| {
        let logits = logits.get(task * rows_per_task * classes..).unwrap_or_default();
        let rows = (logits.len() / classes).min(result.len() / results_per_row);
        instructions.run(Compute { op, logits: &logits[..rows * classes], classes, result, options });
    });
}

/// What every row has come to, and log Σ exp(x − maximum), NaN for a row with a NaN: a task of the caller's.
pub(super) fn for_each_logarithm<T: Real>(
    instructions: InstructionSet,
    logits: &[T],
    classes: usize,
    take: &mut Take<'_, T>,
) {
    instructions.run(TakeLogarithms { logits, classes, take });
}

/// What is done with some of the rows, and the bundle that they are for.
trait WithBundle {
    fn run<M: Machine>(&mut self, machine: M, rows: Range<usize>, bundle: &impl Bundle);
}

#[inline(always)]
fn with_bundles<T: Real, M: Machine>(machine: M, rows: usize, classes: usize, mut done: impl WithBundle) {
    let mut transposed = 0;
    if M::TRANSPOSES {
        transposed = transposed::worth_it(rows, classes);
        if transposed > 0 {
            done.run(machine, 0..transposed, &Transposed::new(classes));
        }
    }
    let rows = transposed..rows;
    if rows.is_empty() {
        return;
    }
    if const { longest::<T>() == LANES } {
        return done.run(machine, rows, &Segments::new(classes));
    }
    // From where a chunk has but one row, what is done once for each is worth sharing. Four rows of more than two chunks
    // leave no registers to compute in.
    match classes.div_ceil(LANES) {
        1 if classes <= LANES / 2 => done.run(machine, rows, &Segments::new(classes)),
        1 => done.run(machine, rows, &FewRows::<4, 1>::new(classes)),
        2 => done.run(machine, rows, &FewRows::<4, 2>::new(classes)),
        3 => done.run(machine, rows, &FewRows::<2, 3>::new(classes)),
        _ => done.run(machine, rows, &FewRows::<2, 4>::new(classes)),
    }
}

struct Compute<'a, T> {
    op: Op,
    logits: &'a [T],
    classes: usize,
    result: &'a mut [T],
    options: &'a Options,
}

impl<T: Real> Task for Compute<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<M: Machine>(self, machine: M) {
        with_bundles::<T, M>(machine, self.logits.len() / self.classes, self.classes, self);
    }
}

impl<T: Real> WithBundle for Compute<'_, T> {
    #[inline(always)]
    fn run<M: Machine>(&mut self, machine: M, rows: Range<usize>, bundle: &impl Bundle) {
        let &mut Compute { op, logits, classes, ref mut result, options } = self;
        let results_per_row = if op == Op::LogSumExp { 1 } else { classes };
        let logits = &logits[rows.start * classes..rows.end * classes];
        let result = &mut result[rows.start * results_per_row..rows.end * results_per_row];
        machine.call(Rows { op, logits, bundle, result, options });
    }
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
        with_bundles::<T, M>(machine, self.logits.len() / self.classes, self.classes, self);
    }
}

impl<T: Real> WithBundle for TakeLogarithms<'_, '_, T> {
    #[inline(always)]
    fn run<M: Machine>(&mut self, machine: M, rows: Range<usize>, bundle: &impl Bundle) {
        let logits = &self.logits[rows.start * self.classes..rows.end * self.classes];
        machine.call(Logarithms { logits, first_row: rows.start, bundle, take: self.take });
    }
}

struct Rows<'a, T, B> {
    op: Op,
    logits: &'a [T],
    bundle: &'a B,
    result: &'a mut [T],
    options: &'a Options,
}

impl<T: Real, B: Bundle> Task for Rows<'_, T, B> {
    type Output = ();

    #[inline(always)]
    fn run<M: Machine>(self, machine: M) {
        let Rows { op, logits, bundle, result, options } = self;
        if op == Op::Softmax {
            return softmax(machine, bundle, logits, result, options);
        }
        if op == Op::LogSoftmax && bundle.rows() == LANES {
            return log_softmax(machine, bundle, logits, result, options);
        }
        let classes = bundle.classes();
        let rows = logits.len() / classes;
        let mut measured = MeasuredRows::new();
        let mut chunks = bundle.chunks::<Lanes<T, M>>(machine);
        for first in (0..rows).step_by(ROWS_AT_ONCE) {
            let rows = ROWS_AT_ONCE.min(rows - first);
            let logits = &logits[first * classes..];
            let written = (op == Op::LogSoftmax).then(|| result.as_ptr().wrapping_add(first * classes));
            measure_rows(machine, bundle, logits, rows, written, &mut measured);
            if op == Op::LogSumExp {
                measured.log_sum_exps(&mut result[first..first + rows]);
                continue;
            }
            let subtrahends = measured.subtrahends(rows, options);
            for row in (0..rows).step_by(bundle.rows()) {
                bundle.load(machine, &logits[row * classes..], &mut chunks);
                let maxima: Lanes<T, M> = chunk_of(machine, &subtrahends[0][row..], LANES);
                let log_sums: Lanes<T, M> = chunk_of(machine, &subtrahends[1][row..], LANES);
                let row_of_lane = bundle.row_of_lane();
                let of_rows = [maxima.permuted(row_of_lane), log_sums.permuted(row_of_lane)];
                bundle.finish(&mut chunks, of_rows, SubtractedOrNan);
                bundle.store(&chunks, &mut result[(first + row) * classes..]);
            }
        }
    }
}

#[inline(always)]
fn softmax<T: Real, M: Machine, B: Bundle>(
    machine: M,
    bundle: &B,
    logits: &[T],
    result: &mut [T],
    options: &Options,
) {
    let masked = if options.fully_masked == FullyMasked::Zero { T::ZERO } else { T::NAN };
    let mut chunks = bundle.chunks::<Lanes<T, M>>(machine);
    for first in (0..logits.len()).step_by(bundle.rows() * bundle.classes()) {
        bundle.load(machine, &logits[first..], &mut chunks);
        ask_ahead(machine, bundle, logits.as_ptr().wrapping_add(first));
        ask_ahead(machine, bundle, result.as_ptr().wrapping_add(first));
        let maxima = bundle.maxima(&chunks);
        let [_, sums] = bundle.terms::<_, true>(machine, &mut chunks, &Anchors::new(maxima));
        let one = maxima.constant(T::ONE);
        let factors = one.over(sums);
        bundle.finish(&mut chunks, [factors; 2], Scaled);
        // The greatest logit adds a 1, if it is finite.
        let regular = sums.lanes_at_least(one);
        if regular != u16::MAX {
            let empty = !sums.lanes_of_nan();
            let special = maxima.constant(masked).kept_in(empty, maxima.constant(T::NAN));
            let of_rows = [special, one.kept_in(regular, maxima.constant(T::ZERO))];
            bundle.finish(&mut chunks, of_rows, Replaced);
        }
        bundle.store(&chunks, &mut result[first..]);
    }
}

/// The log-softmax of as many rows at once as there are lanes, whose logarithms are a vector of their own: the logits are
/// still at hand when it is known.
#[inline(always)]
fn log_softmax<T: Real, M: Machine, B: Bundle>(
    machine: M,
    bundle: &B,
    logits: &[T],
    result: &mut [T],
    options: &Options,
) {
    let mut measured = MeasuredRows::new();
    let mut chunks = bundle.chunks::<Lanes<T, M>>(machine);
    for first in (0..logits.len()).step_by(LANES * bundle.classes()) {
        bundle.load(machine, &logits[first..], &mut chunks);
        ask_ahead(machine, bundle, logits.as_ptr().wrapping_add(first));
        ask_ahead(machine, bundle, result.as_ptr().wrapping_add(first));
        let maxima = bundle.maxima(&chunks);
        let [at_maximum, others] = bundle.terms::<_, false>(machine, &mut chunks, &Anchors::new(maxima));
        measured.set_chunk(0, maxima, at_maximum, others);
        measured.all_are_set(LANES);
        let [maxima, log_sums] = measured.subtrahends(LANES, options);
        let of_rows = [chunk_of(machine, &maxima, LANES), chunk_of(machine, &log_sums, LANES)];
        bundle.finish(&mut chunks, of_rows, SubtractedOrNan);
        bundle.store(&chunks, &mut result[first..]);
    }
}

/// Asks for the cache lines ahead of the bundle of rows that begins at a place, as many as it has itself, where
/// that is several.
#[inline(always)]
fn ask_ahead<T, M: Machine>(machine: M, bundle: &impl Bundle, place: *const T) {
    let elements = bundle.rows() * bundle.classes();
    if elements > LANES {
        for element in (AHEAD..AHEAD + elements).step_by(LANES) {
            machine.prefetch(place.wrapping_add(element));
        }
    }
}

/// The statistics of so many rows, of which the first begins where `logits` does. The cache lines from where their
/// results will be `written` are asked for meanwhile.
#[inline(always)]
fn measure_rows<T: Real, M: Machine, B: Bundle>(
    machine: M,
    bundle: &B,
    logits: &[T],
    rows: usize,
    written: Option<*const T>,
    measured: &mut MeasuredRows<T>,
) {
    let mut chunks = bundle.chunks::<Lanes<T, M>>(machine);
    for row in (0..rows).step_by(bundle.rows()) {
        let first = row * bundle.classes();
        ask_ahead(machine, bundle, logits.as_ptr().wrapping_add(first));
        if let Some(place) = written {
            ask_ahead(machine, bundle, place.wrapping_add(first));
        }
        bundle.load(machine, &logits[first..], &mut chunks);
        let maxima = bundle.maxima(&chunks);
        let [at_maximum, others] = bundle.terms::<_, false>(machine, &mut chunks, &Anchors::new(maxima));
        let first_lanes = bundle.first_lanes();
        measured.set_chunk(
            row,
            maxima.permuted(first_lanes),
            at_maximum.permuted(first_lanes),
            others.permuted(first_lanes),
        );
    }
    measured.all_are_set(rows);
}

struct Logarithms<'a, 'b, T, B> {
    logits: &'a [T],
    first_row: usize,
    bundle: &'a B,
    take: &'a mut Take<'b, T>,
}

impl<T: Real, B: Bundle> Task for Logarithms<'_, '_, T, B> {
    type Output = ();

    #[inline(always)]
    fn run<M: Machine>(self, machine: M) {
        let classes = self.bundle.classes();
        let rows = self.logits.len() / classes;
        let mut measured = MeasuredRows::new();
        for first in (0..rows).step_by(ROWS_AT_ONCE) {
            let rows = ROWS_AT_ONCE.min(rows - first);
            measure_rows(machine, self.bundle, &self.logits[first * classes..], rows, None, &mut measured);
            let logarithms = measured.logarithms(rows);
            (self.take)(self.first_row + first, &measured, &logarithms[..rows]);
        }
    }
}
