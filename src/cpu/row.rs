//! Rows whose logits lie next to each other, and are many enough to fill the lanes.
//!
//! Three looks at each logit: for the maximum; for the terms exp(x − maximum) and their sum, the terms kept
//! in the result where softmax wants them; for the last step. The first two are done stretch by stretch,
//! while it lies in the nearest cache. The stretches of a very long row are spread over threads.

use crate::{Op, Options, Output};

use super::caches;
use super::exponential::Anchors;
use super::instruction_set::{InstructionSet, Machine, Task};
use super::lanes::{self, AHEAD, BLOCK, BlockSums, LANES, Lanes, STRETCH, Totals, chunk_of, store};
use super::real::Real;
use super::sixteen_rows;
use super::statistics::{
    Finish, LastStep, MeasuredRows, ROWS_AT_ONCE, Scaled, ScaledTerms, Statistics, Subtracted, Sums, Take,
};
use super::threads;
use super::vectors::Vector;

/// Logits of one row that are worth a task of their own: a whole number of stretches.
pub(super) const LOGITS_PER_PIECE: usize = 16 * STRETCH;

const CLASSES_OF_BLOCK: usize = BLOCK * LANES;

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
    let rows_per_task = threads::rows_per_task(result.len() / results_per_row, classes);
    let streamed = op.output() == Output::PerElement && size_of_val(result) >= caches::streamed_bytes();
    threads::for_each_piece_with(result, rows_per_task * results_per_row, &|terms, task, result| {
        let logits = logits.get(task * rows_per_task * classes..).unwrap_or_default();
        if classes <= LOGITS_PER_PIECE {
            let places = Places { result, results_per_row, streamed, terms };
            whole_rows(instructions, op, logits, classes, places, options);
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
            let parts = threads::map_pieces(result, LOGITS_PER_PIECE, &|index, terms| {
                instructions.run(Measure { op, logits: piece(index), terms, written: None })
            });
            let row = Statistics::join(parts.iter().flatten());
            threads::map_pieces(result, LOGITS_PER_PIECE, &|index, result| {
                let (parts, row) = (parts.get(index).map_or(&[][..], Vec::as_slice), &row);
                if op == Op::Softmax {
                    instructions.run(Scale { parts, row, terms: result, options });
                } else {
                    let from = piece(index);
                    instructions.run(Write { op, from, parts, row, result, streamed: false, options });
                }
            });
        }
        _ => result.fill(statistics_of_very_long_row(instructions, logits).log_sum_exp()),
    }
}

fn statistics_of_very_long_row<T: Real>(instructions: InstructionSet, logits: &[T]) -> Statistics {
    let pieces: Vec<&[T]> = logits.chunks(LOGITS_PER_PIECE).collect();
    let parts = threads::map(pieces.len(), &|index| {
        let logits = pieces.get(index).copied().unwrap_or_default();
        instructions.run(Measure { op: Op::LogSumExp, logits, terms: &mut [], written: None })
    });
    Statistics::join(parts.iter().flatten())
}

/// The statistics of every row, from which its logarithms follow: a task of the caller's.
fn statistics<T: Real>(instructions: InstructionSet, logits: &[T], classes: usize) -> Vec<Statistics> {
    if classes > LOGITS_PER_PIECE {
        let rows = logits.chunks_exact(classes);
        return rows.map(|logits| statistics_of_very_long_row(instructions, logits)).collect();
    }
    instructions.run(MeasureRows { logits, classes })
}

/// Calls `take` with the number of the first of some rows, what they have come to, and the logarithm of each one's sum: a
/// task of the caller's.
pub(super) fn for_each_logarithm<T: Real>(
    instructions: InstructionSet,
    logits: &[T],
    classes: usize,
    take: &mut Take<'_, T>,
) {
    let mut measured = MeasuredRows::new();
    for first in (0..logits.len() / classes).step_by(ROWS_AT_ONCE) {
        let end = logits.len().min((first + ROWS_AT_ONCE) * classes);
        let statistics = statistics(instructions, &logits[first * classes..end], classes);
        for (row, statistics) in statistics.iter().enumerate() {
            measured.set_statistics(row, statistics);
        }
        let rows = statistics.len();
        let logarithms = measured.logarithms(rows);
        take(first, &measured, &logarithms[..rows]);
    }
}

/// The statistics of each stretch of logits that lie at stretches of a row, measured for an operation.
pub(super) fn measure_stretches<T: Real>(
    instructions: InstructionSet,
    op: Op,
    logits: &[T],
    terms: &mut Vec<T>,
) -> Vec<Statistics> {
    terms.resize(if op == Op::Softmax { logits.len() } else { 0 }, T::ZERO);
    instructions.run(Measure { op, logits, terms, written: None })
}

/// What the results of a row follow from whose stretches have been measured.
#[derive(Clone, Copy)]
pub(super) struct OfMeasuredRow<'a> {
    pub(super) op: Op,
    pub(super) stretches: &'a [Statistics],
    pub(super) row: &'a Statistics,
    pub(super) options: &'a Options,
}

/// The results of some logits of it, from those of class `first` on, without the terms that were measured.
pub(super) fn results<T: Real>(
    instructions: InstructionSet,
    of_row: OfMeasuredRow<'_>,
    first: usize,
    logits: &[T],
    result: &mut [T],
) {
    instructions.run(Finished { of_row, first, logits, result });
}

struct Finished<'a, T> {
    of_row: OfMeasuredRow<'a>,
    first: usize,
    logits: &'a [T],
    result: &'a mut [T],
}

impl<T: Real> Task for Finished<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<M: Machine>(self, machine: M) {
        let Finished { of_row: OfMeasuredRow { op, stretches, row, options }, first, logits, result } = self;
        let mut done = 0;
        while done < logits.len().min(result.len()) {
            let Some(stretch) = stretches.get((first + done) / STRETCH) else { return };
            let left = logits.len().min(result.len()) - done;
            let classes = left.min(STRETCH - (first + done) % STRETCH);
            let (logits, result) = (&logits[done..], &mut result[done..]);
            match stretch.finish(row, op, options) {
                Finish::Scale(factor) => {
                    let anchors = Anchors::new(Lanes::<T, M>::splat(machine, T::narrow(stretch.maximum())));
                    let factors = Lanes::<T, M>::splat(machine, factor);
                    let of_row = [factors; 2];
                    write_chunks(machine, logits, classes, result, false, ScaledTerms(anchors), of_row);
                }
                finish => write_stretch(machine, finish, logits, classes, result, false),
            }
            done += classes;
        }
    }
}

struct MeasureRows<'a, T> {
    logits: &'a [T],
    classes: usize,
}

impl<T: Real> Task for MeasureRows<'_, T> {
    type Output = Vec<Statistics>;

    #[inline(always)]
    fn run<M: Machine>(self, machine: M) -> Vec<Statistics> {
        let MeasureRows { logits, classes } = self;
        let mut measured = Vec::with_capacity(logits.len() / classes);
        if classes <= STRETCH {
            let mut rows = RowsInTurn::new(machine, logits, classes);
            for _ in 0..logits.len() / classes {
                measured.push(rows.measure::<M, false>(machine, &mut [], None));
            }
        } else {
            for logits in logits.chunks_exact(classes) {
                let measure = Measure { op: Op::LogSumExp, logits, terms: &mut [], written: None };
                measured.push(Statistics::join(&machine.call(measure)));
            }
        }
        measured
    }
}

/// Where the results of rows belong.
struct Places<'a, T> {
    result: &'a mut [T],
    results_per_row: usize,
    /// Whether the result is to go past the caches.
    streamed: bool,
    /// Memory for a row's terms, which are looked at twice.
    terms: &'a mut Vec<T>,
}

/// Rows one after the other, each of the thread that this is called on.
fn whole_rows<T: Real>(
    instructions: InstructionSet,
    op: Op,
    logits: &[T],
    classes: usize,
    places: Places<'_, T>,
    options: &Options,
) {
    let Places { result, results_per_row, streamed, terms } = places;
    let rows = (logits.len() / classes).min(result.len() / results_per_row);
    let (logits, result) = (&logits[..rows * classes], &mut result[..rows * results_per_row]);
    let places = Places { result, results_per_row, streamed, terms };
    // Tasks of their own: of a large function, the compiler makes less.
    if classes <= sixteen_rows::longest(op) {
        sixteen_rows::compute(instructions, op, logits, classes, places.result, streamed, options);
    } else if classes > STRETCH {
        instructions.run(LongRows { op, logits, classes, places, options });
    } else if op == Op::Softmax {
        instructions.run(Softmax { logits, classes, places, options });
    } else {
        instructions.run(Logarithms { op, logits, classes, places, options });
    }
}

/// Rows of more than a stretch.
struct LongRows<'a, T> {
    op: Op,
    logits: &'a [T],
    classes: usize,
    places: Places<'a, T>,
    options: &'a Options,
}

impl<T: Real> Task for LongRows<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<M: Machine>(self, machine: M) {
        let LongRows { op, logits, classes, places, options } = self;
        let Places { result, results_per_row, streamed, terms } = places;
        terms.resize(if op == Op::Softmax { classes } else { 0 }, T::ZERO);
        for (logits, result) in logits.chunks_exact(classes).zip(result.chunks_exact_mut(results_per_row)) {
            let written = (op.output() == Output::PerElement && !streamed).then_some(result.as_ptr());
            let parts = machine.call(Measure { op, logits, terms, written });
            let row = Statistics::join(&parts);
            match op.output() {
                Output::PerElement => {
                    let from = if op == Op::Softmax { &terms[..] } else { logits };
                    machine.call(Write { op, from, parts: &parts, row: &row, result, streamed, options });
                }
                _ => result.fill(row.log_sum_exp()),
            }
        }
        if streamed {
            machine.finish_streams();
        }
    }
}

/// Rows of at most a stretch, their softmax.
struct Softmax<'a, T> {
    logits: &'a [T],
    classes: usize,
    places: Places<'a, T>,
    options: &'a Options,
}

impl<T: Real> Task for Softmax<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<M: Machine>(self, machine: M) {
        let Softmax { logits, classes, places: Places { result, streamed, terms, .. }, options } = self;
        // What stands behind terms may be overwritten.
        terms.resize(2 * (classes + LANES), T::ZERO);
        let (mut terms, mut terms_before) = terms.split_at_mut(classes + LANES);
        let mut in_turn = RowsInTurn::new(machine, logits, classes);
        let results = result.as_ptr();
        // A row is written only when the next has been measured, so that nothing waits for its sum, as long as the nearest
        // cache holds the terms of both, and what else they need.
        let behind = usize::from(classes <= STRETCH / 4);
        let mut finish = Finish::Fill(T::ZERO);
        let rows = logits.len() / classes;
        for row in 0..rows + behind {
            let finish_before = finish;
            if row < rows {
                // A short row is done before memory answers.
                let ahead = row * classes + AHEAD.saturating_sub(classes);
                let written = (!streamed).then_some(results.wrapping_add(ahead));
                let statistics = in_turn.measure::<M, true>(machine, terms, written);
                finish = statistics.finish(&statistics, Op::Softmax, options);
            }
            if row >= behind {
                let result = &mut result[(row - behind) * classes..];
                let (finish, terms) =
                    if behind == 0 { (finish, &*terms) } else { (finish_before, &*terms_before) };
                write_stretch(machine, finish, terms, classes, result, streamed);
            }
            if behind > 0 {
                (terms, terms_before) = (terms_before, terms);
            }
        }
        if streamed {
            machine.finish_streams();
        }
    }
}

/// Rows of at most a stretch, their log-softmax or log-sum-exp.
struct Logarithms<'a, T> {
    op: Op,
    logits: &'a [T],
    classes: usize,
    places: Places<'a, T>,
    options: &'a Options,
}

impl<T: Real> Task for Logarithms<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<M: Machine>(self, machine: M) {
        let Logarithms { op, logits, classes, places: Places { result, streamed, .. }, options } = self;
        let mut in_turn = RowsInTurn::new(machine, logits, classes);
        if op == Op::LogSumExp {
            let mut measured = MeasuredRows::new();
            for result in result.chunks_mut(ROWS_AT_ONCE) {
                for row in 0..result.len() {
                    let statistics = in_turn.measure::<M, false>(machine, &mut [], None);
                    measured.set_statistics(row, &statistics);
                }
                measured.log_sum_exps(result);
            }
            return;
        }
        let results = result.as_ptr();
        // A row is written only when the next has been measured, so that nothing waits for its logarithm.
        let mut finish = Finish::Fill(T::ZERO);
        let rows = logits.len() / classes;
        for row in 0..=rows {
            let of_row_before = finish;
            if row < rows {
                let written = (!streamed).then_some(results.wrapping_add(row * classes));
                let statistics = in_turn.measure::<M, false>(machine, &mut [], written);
                finish = statistics.finish(&statistics, op, options);
            }
            if row > 0 {
                let start = (row - 1) * classes;
                let (from, result) = (&logits[start..], &mut result[start..]);
                write_stretch(machine, of_row_before, from, classes, result, streamed);
            }
        }
        if streamed {
            machine.finish_streams();
        }
    }
}

/// Rows of at most a stretch that follow each other, to be measured one by one.
///
/// The maximum of each is looked for when the one before it has been measured: what that one comes to, lane after lane,
/// takes its time, and so does what follows from it, but nothing of the next row waits for it.
struct RowsInTurn<'a, T> {
    /// Of those that are left, and what lies behind them: where there is something, a last chunk can be loaded whole.
    logits: &'a [T],
    classes: usize,
    /// Of the next row.
    maximum: T,
}

impl<'a, T: Real> RowsInTurn<'a, T> {
    #[inline(always)]
    fn new<M: Machine>(machine: M, logits: &'a [T], classes: usize) -> Self {
        let mut rows = RowsInTurn { logits, classes, maximum: T::NEG_INFINITY };
        rows.look_ahead(machine);
        rows
    }

    #[inline(always)]
    fn look_ahead<M: Machine>(&mut self, machine: M) {
        if self.logits.len() >= self.classes {
            self.maximum = maximum_of(machine, self.logits, self.classes);
        }
    }

    /// The statistics of the next row; the rest as for [`measure_below`].
    #[inline(always)]
    fn measure<M: Machine, const KEPT: bool>(
        &mut self,
        machine: M,
        kept: &mut [T],
        written: Option<*const T>,
    ) -> Statistics {
        let &mut RowsInTurn { logits, classes, maximum } = self;
        let row = measure_below::<T, M, KEPT>(machine, logits, classes, maximum, kept, written);
        self.logits = &logits[classes..];
        self.look_ahead(machine);
        row
    }
}

/// The statistics of each stretch of a piece; for softmax, also the terms.
struct Measure<'a, T> {
    op: Op,
    logits: &'a [T],
    /// As many as logits for softmax; otherwise left alone.
    terms: &'a mut [T],
    /// Where the results will be written, if that is soon, and not past the caches.
    written: Option<*const T>,
}

impl<T: Real> Task for Measure<'_, T> {
    type Output = Vec<Statistics>;

    #[inline(always)]
    fn run<M: Machine>(self, machine: M) -> Vec<Statistics> {
        // A loop, not `map` and `collect`: those are not inlined, and would be compiled for the baseline.
        let mut parts = Vec::with_capacity(self.logits.len().div_ceil(STRETCH));
        let mut terms = self.terms.chunks_mut(STRETCH);
        for (index, logits) in self.logits.chunks(STRETCH).enumerate() {
            let written = self.written.map(|row| row.wrapping_add(index * STRETCH));
            parts.push(match (self.op, terms.next()) {
                (Op::Softmax, Some(terms)) => {
                    measure::<T, M, true>(machine, logits, logits.len().min(terms.len()), terms, written)
                }
                _ => measure::<T, M, false>(machine, logits, logits.len(), &mut [], written),
            });
        }
        parts
    }
}

/// The last step for each element of a piece, given the statistics of its stretches and of the row.
struct Write<'a, T> {
    op: Op,
    /// The terms for softmax, otherwise the logits.
    from: &'a [T],
    parts: &'a [Statistics],
    row: &'a Statistics,
    result: &'a mut [T],
    streamed: bool,
    options: &'a Options,
}

impl<T: Real> Task for Write<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<M: Machine>(self, machine: M) {
        let Write { op, from, parts, row, result, streamed, options } = self;
        for ((from, result), part) in from.chunks(STRETCH).zip(result.chunks_mut(STRETCH)).zip(parts) {
            let classes = from.len().min(result.len());
            write_stretch(machine, part.finish(row, op, options), from, classes, result, streamed);
        }
    }
}

/// The last step for the terms of a piece, which lie in its result.
struct Scale<'a, T> {
    parts: &'a [Statistics],
    row: &'a Statistics,
    terms: &'a mut [T],
    options: &'a Options,
}

impl<T: Real> Task for Scale<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<M: Machine>(self, _: M) {
        let Scale { parts, row, terms, options } = self;
        for (terms, part) in terms.chunks_mut(STRETCH).zip(parts) {
            match part.finish(row, Op::Softmax, options) {
                Finish::Scale(factor) => {
                    for term in terms {
                        *term = *term * factor;
                    }
                }
                Finish::Fill(value) => terms.fill(value),
                Finish::Subtract { .. } => {}
            }
        }
    }
}

/// The statistics of a stretch; the rest as for [`measure_below`].
#[inline(always)]
fn measure<T: Real, M: Machine, const KEPT: bool>(
    machine: M,
    logits: &[T],
    classes: usize,
    kept: &mut [T],
    written: Option<*const T>,
) -> Statistics {
    let maximum = maximum_of(machine, logits, classes);
    measure_below::<T, M, KEPT>(machine, logits, classes, maximum, kept, written)
}

/// The maximum of a stretch of so many classes that begins where `logits` does, NaN passed over.
#[inline(always)]
pub(super) fn maximum_of<T: Real, M: Machine>(machine: M, logits: &[T], classes: usize) -> T {
    let (chunks, _) = logits[..classes].as_chunks::<LANES>();
    let full = chunks.len() * LANES;
    let mut maxima: Lanes<T, M> = lanes::maxima(machine, chunks);
    if full < classes {
        maxima = maxima.larger(chunk_of(machine, &logits[full..], classes - full));
    }
    maxima.largest()
}

/// The statistics of a stretch of so many classes that begins where `logits` does, given its maximum; the rest as for
/// [`sums_of`].
#[inline(always)]
fn measure_below<T: Real, M: Machine, const KEPT: bool>(
    machine: M,
    logits: &[T],
    classes: usize,
    maximum: T,
    kept: &mut [T],
    written: Option<*const T>,
) -> Statistics {
    let anchors = Anchors::of_row(machine, maximum);
    // As `sums_of`, but that statistics are made in each of the two places: the compiler then makes the better of it.
    if classes <= CLASSES_OF_BLOCK {
        let sums = BlockSums::<_, KEPT>::new(machine);
        let sums = sum_up_last_block(machine, sums, logits, classes, &anchors, kept);
        return Statistics::new(maximum, sums.of_row());
    }
    // What is looked at next lies behind this.
    let ahead = classes.max(AHEAD);
    let totals = totals_of::<T, M, KEPT>(machine, logits, classes, &anchors, kept, ahead, written);
    Statistics::new(maximum, totals.of_row())
}

/// What a stretch of so many classes that begins where `logits` does comes to, relative to its maximum. The cache lines so
/// many numbers `ahead`, and those from where results will be `written`, are asked for meanwhile.
#[inline(always)]
pub(super) fn sums_of<T: Real, M: Machine>(
    machine: M,
    logits: &[T],
    classes: usize,
    anchors: &Anchors<Lanes<T, M>>,
    ahead: usize,
    written: Option<*const T>,
) -> Sums {
    if classes <= CLASSES_OF_BLOCK {
        let sums = BlockSums::<_, false>::new(machine);
        return sum_up_last_block(machine, sums, logits, classes, anchors, &mut []).of_row();
    }
    totals_of::<T, M, false>(machine, logits, classes, anchors, &mut [], ahead, written).of_row()
}

/// The same of more than a block, lane by lane. The terms are left where `kept` begins, and anything behind them.
#[inline(always)]
fn totals_of<T: Real, M: Machine, const KEPT: bool>(
    machine: M,
    logits: &[T],
    classes: usize,
    anchors: &Anchors<Lanes<T, M>>,
    kept: &mut [T],
    ahead: usize,
    written: Option<*const T>,
) -> Totals<Lanes<T, M>, KEPT> {
    let mut totals = Totals::<Lanes<T, M>, KEPT>::new(machine);
    // Where nothing is asked for, it does no harm to ask for what is there.
    let written = written.unwrap_or(logits.as_ptr());
    let in_blocks = classes / CLASSES_OF_BLOCK * CLASSES_OF_BLOCK;
    let (blocks, _) = logits[..in_blocks].as_chunks::<CLASSES_OF_BLOCK>();
    let (places, _) = kept[..if KEPT { in_blocks } else { 0 }].as_chunks_mut::<CLASSES_OF_BLOCK>();
    let mut places = places.iter_mut();
    for (number, block) in blocks.iter().enumerate() {
        let mut sums = totals.next_block(machine);
        let mut terms = [sums.others(); BLOCK];
        for (index, chunk) in block.as_chunks::<LANES>().0.iter().enumerate() {
            machine.prefetch(chunk.as_ptr().wrapping_add(ahead));
            machine.prefetch(written.wrapping_add(number * CLASSES_OF_BLOCK + index * LANES));
            terms[index] = sums.add(index, Vector::load(machine, chunk), anchors);
        }
        if let Some(places) = places.next() {
            for (terms, places) in terms.iter().zip(places.as_chunks_mut::<LANES>().0) {
                terms.store(places);
            }
        }
        totals.add(&sums);
    }
    if in_blocks < classes {
        let kept = if KEPT { &mut kept[in_blocks..] } else { kept };
        let sums = totals.next_block(machine);
        let logits = &logits[in_blocks..];
        totals.add(&sum_up_last_block(machine, sums, logits, classes - in_blocks, anchors, kept));
    }
    totals
}

/// What the last block of a stretch comes to, of so many classes, given what its row's exponentials are relative to.
#[inline(always)]
fn sum_up_last_block<T: Real, M: Machine, const KEPT: bool>(
    machine: M,
    sums: BlockSums<Lanes<T, M>, KEPT>,
    logits: &[T],
    classes: usize,
    anchors: &Anchors<Lanes<T, M>>,
    kept: &mut [T],
) -> BlockSums<Lanes<T, M>, KEPT> {
    match classes.div_ceil(LANES) {
        1 => sum_up_last_chunks::<T, M, KEPT, 1>(machine, sums, logits, classes, anchors, kept),
        2 => sum_up_last_chunks::<T, M, KEPT, 2>(machine, sums, logits, classes, anchors, kept),
        3 => sum_up_last_chunks::<T, M, KEPT, 3>(machine, sums, logits, classes, anchors, kept),
        _ => sum_up_last_chunks::<T, M, KEPT, BLOCK>(machine, sums, logits, classes, anchors, kept),
    }
}

/// The same of so many chunks, so that the compiler writes out its loops, and all chunks stay in registers.
#[inline(always)]
fn sum_up_last_chunks<T: Real, M: Machine, const KEPT: bool, const CHUNKS: usize>(
    machine: M,
    mut sums: BlockSums<Lanes<T, M>, KEPT>,
    logits: &[T],
    classes: usize,
    anchors: &Anchors<Lanes<T, M>>,
    kept: &mut [T],
) -> BlockSums<Lanes<T, M>, KEPT> {
    let before_last = (CHUNKS - 1) * LANES;
    let (whole, _) = logits[..before_last].as_chunks::<LANES>();
    let mut chunks = [chunk_of(machine, &logits[before_last..], classes - before_last); CHUNKS];
    for (chunk, logits) in chunks.iter_mut().zip(whole) {
        *chunk = Vector::load(machine, logits);
    }
    for (index, chunk) in chunks.iter_mut().enumerate() {
        *chunk = sums.add(index, *chunk, anchors);
    }
    if KEPT {
        let (places, _) = kept[..before_last].as_chunks_mut::<LANES>();
        for (chunk, places) in chunks.iter().zip(places) {
            chunk.store(places);
        }
        store(chunks[CHUNKS - 1], classes - before_last, &mut kept[before_last..]);
    }
    sums
}

/// The last step for each element of a stretch, from what there is to start with (the terms, for softmax), of so
/// many classes, to where `result` begins.
#[inline(always)]
pub(super) fn write_stretch<T: Real, M: Machine>(
    machine: M,
    finish: Finish<T>,
    from: &[T],
    classes: usize,
    result: &mut [T],
    streamed: bool,
) {
    match finish {
        Finish::Fill(value) => result[..classes].fill(value),
        Finish::Scale(factor) => {
            let factors = Lanes::<T, M>::splat(machine, factor);
            write_chunks(machine, from, classes, result, streamed, Scaled, [factors; 2]);
        }
        Finish::Subtract { maximum, log_sum } => {
            let maxima = Lanes::<T, M>::splat(machine, maximum);
            let log_sums = Lanes::<T, M>::splat(machine, log_sum);
            write_chunks(machine, from, classes, result, streamed, Subtracted, [maxima, log_sums]);
        }
    }
}

#[inline(always)]
fn write_chunks<T: Real, M: Machine>(
    machine: M,
    mut from: &[T],
    mut classes: usize,
    mut result: &mut [T],
    streamed: bool,
    step: impl LastStep<Lanes<T, M>>,
    of_row: [Lanes<T, M>; 2],
) {
    if streamed {
        let line = LANES * size_of::<T>();
        // A cache line that the next row begins in is written by way of the caches, and no row should wait for it.
        let end = result.as_ptr().wrapping_add(classes);
        if !end.addr().is_multiple_of(line) {
            machine.prefetch(end);
        }
        // Up to where a cache line begins.
        let before = (line - result.as_ptr().addr() % line) % line / size_of::<T>();
        if (1..classes).contains(&before) {
            let first = step.of(chunk_of(machine, from, before), of_row);
            store_exactly(first, before, result);
            (from, classes, result) = (&from[before..], classes - before, &mut result[before..]);
        }
    }
    let (chunks, _) = from[..classes].as_chunks::<LANES>();
    let (places, _) = result[..classes].as_chunks_mut::<LANES>();
    if streamed {
        for (chunk, places) in chunks.iter().zip(places) {
            step.of(Vector::load(machine, chunk), of_row).stream(places);
        }
    } else {
        for (chunk, places) in chunks.iter().zip(places) {
            step.of(Vector::load(machine, chunk), of_row).store(places);
        }
    }
    let full = chunks.len() * LANES;
    if full < classes {
        let last = step.of(chunk_of(machine, &from[full..], classes - full), of_row);
        if streamed {
            store_exactly(last, classes - full, &mut result[full..]);
        } else {
            store(last, classes - full, &mut result[full..]);
        }
    }
}

/// The first numbers of a vector to where `places` begin, and nothing behind them.
#[inline(always)]
fn store_exactly<V: Vector>(numbers: V, count: usize, places: &mut [V::Number]) {
    store(numbers, count, &mut places[..count]);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Wherever in a cache line the rows begin.
    #[test]
    fn rows_past_the_caches_are_the_same() {
        for classes in [67, 100, 128, 129, 200, 256, 1001, 4097, 5003] {
            let logits: Vec<f32> = (0..3 * classes).map(|index| ((index * 37) % 101) as f32 * 0.3).collect();
            for (op, begin) in [(Op::Softmax, 0), (Op::Softmax, 1), (Op::LogSoftmax, 0), (Op::LogSoftmax, 5)]
            {
                for instructions in InstructionSet::all() {
                    let [cached, past] = [false, true].map(|streamed| {
                        let mut memory = vec![7.0; begin + logits.len() + 1];
                        let result = &mut memory[begin..][..logits.len()];
                        let terms = &mut Vec::new();
                        let places = Places { result, results_per_row: classes, streamed, terms };
                        let options = &Options::default();
                        whole_rows(instructions, op, &logits, classes, places, options);
                        memory
                    });
                    assert!(cached == past, "{op} of rows of {classes} from place {begin}, {instructions:?}");
                    assert_eq!((past[..begin].iter().sum(), past.last()), (7.0 * begin as f32, Some(&7.0)));
                }
            }
        }
    }
}
