//! Strided rows: the axis is not the last.
//!
//! Sixteen neighbouring rows are copied into a *tile*, one row per lane, so that the arithmetic of a row is
//! that of a lane. The copy turns strided access, which is hard on caches where the stride is a power of
//! two, into one read and one write; everything between happens in the tile. A lane knows nothing of the
//! others, and adds up its row in the order that `lanes.rs` lays down, so a row has the same bits here, in
//! whichever lane and beside whichever neighbours, as it would have in `row.rs`.

use std::ops::Range;

use crate::{Op, Options, Output};

use super::exponential::Anchors;
use super::instruction_set::{InstructionSet, Machine, Task};
use super::lanes::{self, BLOCK, BlockSums, Chunk, LANES, Lanes, STRETCH, Totals};
use super::real::Real;
use super::shared_result::SharedResult;
use super::statistics::{Finish, Statistics};
use super::threads;
use super::vectors::Vector;

/// Computes every row of a compact `outer × classes × inner` array.
///
/// Does nothing unless `logits` and `result` have the lengths that these sizes ask for.
pub(super) fn compute<T: Real>(
    instructions: InstructionSet,
    op: Op,
    logits: &[T],
    [outer, classes, inner]: [usize; 3],
    result: &mut [T],
    options: &Options,
) {
    let rows = outer * inner;
    let results_per_row = match op.output() {
        Output::PerElement => classes,
        _ => 1,
    };
    if logits.len() != rows * classes || result.len() != rows * results_per_row {
        return;
    }
    let batch = Batch { op, logits, classes, inner, result: SharedResult::new(result), options };
    let groups_per_task = match classes > STRETCH {
        true => 1,
        false => threads::rows_per_task(rows.div_ceil(LANES), classes * LANES),
    };
    threads::for_each(rows.div_ceil(groups_per_task * LANES), &|task| {
        let first = task * groups_per_task * LANES;
        let rows = first..rows.min(first + groups_per_task * LANES);
        if classes > STRETCH {
            batch.long_group(instructions, &Group::new(rows, classes, inner));
        } else {
            instructions.run(WholeGroups { batch: &batch, rows });
        }
    });
}

/// What all tasks have in common.
///
/// Every element belongs to one row, every row to one [`Group`], and every group to one task; where a group
/// has several tiles, every class to one tile and every tile to one task at a time. So a task that reaches
/// for elements of its own group and tile alone has them to itself.
struct Batch<'a, T> {
    op: Op,
    logits: &'a [T],
    classes: usize,
    inner: usize,
    result: SharedResult<'a, T>,
    options: &'a Options,
}

impl<T: Real> Batch<'_, T> {
    /// A group whose rows are longer than a tile: several tiles, each a task.
    fn long_group(&self, instructions: InstructionSet, group: &Group) {
        let tiles = self.classes.div_ceil(STRETCH);
        let classes = |index: usize| index * STRETCH..self.classes.min((index + 1) * STRETCH);
        let parts = threads::map(tiles, &|index| {
            instructions.run(MeasureTile { batch: self, group, classes: classes(index) })
        });
        let rows: [Statistics; LANES] =
            std::array::from_fn(|lane| Statistics::join(parts.iter().map(|part| &part[lane])));
        match self.op.output() {
            Output::PerElement => {
                threads::for_each(tiles, &|index| {
                    let (classes, parts) = (classes(index), &parts[index]);
                    instructions.run(WriteTile { batch: self, group, classes, parts, rows: &rows });
                });
            }
            _ => group.store_per_row(&log_sum_exps(&rows), &self.result),
        }
    }
}

/// Groups whose rows fit a tile, one group after the other.
struct WholeGroups<'a, T> {
    batch: &'a Batch<'a, T>,
    rows: Range<usize>,
}

impl<T: Real> Task for WholeGroups<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<M: Machine>(self, machine: M) {
        let &Batch { op, logits, classes, inner, ref result, options } = self.batch;
        let mut tile = empty_tile(classes);
        for first in self.rows.clone().step_by(LANES) {
            let group = Group::new(first..self.rows.end.min(first + LANES), classes, inner);
            group.load(logits, 0, &mut tile);
            let rows = measure(machine, op, &mut tile);
            match op.output() {
                Output::PerElement => {
                    write(op, &rows, &rows, options, &mut tile);
                    group.store(&tile, 0, result);
                }
                _ => group.store_per_row(&log_sum_exps(&rows), result),
            }
        }
    }
}

/// The statistics of some classes of a group; for softmax, also their terms, into the result.
struct MeasureTile<'a, T> {
    batch: &'a Batch<'a, T>,
    group: &'a Group,
    classes: Range<usize>,
}

impl<T: Real> Task for MeasureTile<'_, T> {
    type Output = [Statistics; LANES];

    #[inline(always)]
    fn run<M: Machine>(self, machine: M) -> [Statistics; LANES] {
        let mut tile = empty_tile(self.classes.len());
        self.group.load(self.batch.logits, self.classes.start, &mut tile);
        let statistics = measure(machine, self.batch.op, &mut tile);
        if self.batch.op == Op::Softmax {
            self.group.store(&tile, self.classes.start, &self.batch.result);
        }
        statistics
    }
}

/// The last step for some classes of a group.
struct WriteTile<'a, T> {
    batch: &'a Batch<'a, T>,
    group: &'a Group,
    classes: Range<usize>,
    parts: &'a [Statistics; LANES],
    rows: &'a [Statistics; LANES],
}

impl<T: Real> Task for WriteTile<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<M: Machine>(self, _: M) {
        let mut tile = empty_tile(self.classes.len());
        if self.batch.op == Op::Softmax {
            self.group.load_terms(&self.batch.result, self.classes.start, &mut tile);
        } else {
            self.group.load(self.batch.logits, self.classes.start, &mut tile);
        }
        write(self.batch.op, self.parts, self.rows, self.batch.options, &mut tile);
        self.group.store(&tile, self.classes.start, &self.batch.result);
    }
}

/// A tile whose lanes take no part in anything.
#[inline(always)]
fn empty_tile<T: Real>(classes: usize) -> Vec<Chunk<T>> {
    vec![[T::NEG_INFINITY; LANES]; classes]
}

/// The statistics of every lane; for softmax, the tile is left with the terms.
#[inline(always)]
fn measure<T: Real, M: Machine>(machine: M, op: Op, tile: &mut [Chunk<T>]) -> [Statistics; LANES] {
    match op {
        Op::Softmax => measure_lanes::<T, M, true>(machine, tile),
        _ => measure_lanes::<T, M, false>(machine, tile),
    }
}

#[inline(always)]
fn measure_lanes<T: Real, M: Machine, const KEPT: bool>(
    machine: M,
    tile: &mut [Chunk<T>],
) -> [Statistics; LANES] {
    let maxima: Lanes<T, M> = lanes::maxima(machine, tile);
    let anchors = Anchors::new(maxima);
    if tile.len() <= BLOCK * LANES {
        let mut accumulators = [BlockSums::<_, KEPT>::new(machine); LANES];
        for (index, sums) in accumulators.iter_mut().enumerate().take(tile.len()) {
            *sums = sums_of_block(machine, *sums, tile, index, &anchors);
        }
        return lanes::of_rows_of_block(maxima, &accumulators[..tile.len().min(LANES)]);
    }
    let mut accumulators = [Totals::<Lanes<T, M>, KEPT>::new(machine); LANES];
    for block in tile.chunks_mut(BLOCK * LANES) {
        for (index, totals) in accumulators.iter_mut().enumerate().take(block.len()) {
            totals.add(&sums_of_block(machine, totals.next_block(machine), block, index, &anchors));
        }
    }
    // As the lanes of one row are joined.
    let mut width = LANES;
    while width > 1 {
        width /= 2;
        let (lower, upper) = accumulators.split_at_mut(width);
        for (lower, upper) in lower.iter_mut().zip(upper) {
            lower.join(upper);
        }
    }
    accumulators[0].of_rows(maxima)
}

/// What one accumulator of every lane takes in of a block, which is left with the terms that are kept.
#[inline(always)]
fn sums_of_block<T: Real, M: Machine, const KEPT: bool>(
    machine: M,
    mut sums: BlockSums<Lanes<T, M>, KEPT>,
    block: &mut [Chunk<T>],
    index: usize,
    anchors: &Anchors<Lanes<T, M>>,
) -> BlockSums<Lanes<T, M>, KEPT> {
    for (round, chunk) in block[index..].iter_mut().step_by(LANES).enumerate() {
        let terms = sums.add(round, Vector::load(machine, chunk), anchors);
        if KEPT {
            terms.store(chunk);
        }
    }
    sums
}

/// The last step, for every element of a tile: part of rows of which the statistics are known.
#[inline(always)]
fn write<T: Real>(
    op: Op,
    parts: &[Statistics; LANES],
    rows: &[Statistics; LANES],
    options: &Options,
    tile: &mut [Chunk<T>],
) {
    let (mut factors, mut maxima, mut log_sums) = ([T::ONE; LANES], [T::ZERO; LANES], [T::ZERO; LANES]);
    let mut filled = [None; LANES];
    for lane in 0..LANES {
        match parts[lane].finish(&rows[lane], op, options) {
            Finish::Fill(value) => filled[lane] = Some(value),
            Finish::Scale(factor) => factors[lane] = factor,
            Finish::Subtract { maximum, log_sum } => (maxima[lane], log_sums[lane]) = (maximum, log_sum),
        }
    }
    for chunk in &mut *tile {
        if op == Op::Softmax {
            for lane in 0..LANES {
                chunk[lane] = chunk[lane] * factors[lane];
            }
        } else {
            for lane in 0..LANES {
                chunk[lane] = (chunk[lane] - maxima[lane]) - log_sums[lane];
            }
        }
    }
    for (lane, value) in filled.iter().enumerate() {
        if let Some(value) = *value {
            tile.iter_mut().for_each(|chunk| chunk[lane] = value);
        }
    }
}

/// The log-sum-exp of every lane.
#[inline(always)]
fn log_sum_exps<T: Real>(rows: &[Statistics; LANES]) -> Chunk<T> {
    let mut values = [T::ZERO; LANES];
    for (value, row) in values.iter_mut().zip(rows) {
        *value = row.log_sum_exp();
    }
    values
}

/// Up to [`LANES`] consecutive rows, and where their elements lie.
struct Group {
    first_row: usize,
    /// How many rows there are; the lanes beyond are empty.
    rows: usize,
    /// Where each row's class 0 lies, in elements.
    starts: [usize; LANES],
    /// Elements from a class to the next.
    inner: usize,
    /// Whether the rows lie side by side: one class of all of them is one piece of memory.
    side_by_side: bool,
}

impl Group {
    #[inline(always)]
    fn new(rows: Range<usize>, classes: usize, inner: usize) -> Self {
        let (slab, column) = (rows.start / inner, rows.start % inner);
        let mut starts = [0; LANES];
        let (mut start, mut column_of_lane) = (slab * classes * inner + column, column);
        for place in &mut starts[..rows.len().min(LANES)] {
            *place = start;
            (start, column_of_lane) = (start + 1, column_of_lane + 1);
            if column_of_lane == inner {
                // The next slab begins where the last class of this one ends.
                (start, column_of_lane) = (start + (classes - 1) * inner, 0);
            }
        }
        Group {
            first_row: rows.start,
            rows: rows.len().min(LANES),
            starts,
            inner,
            side_by_side: column + rows.len() <= inner,
        }
    }

    /// Fills a tile with logits, from class `first` on.
    #[inline(always)]
    fn load<T: Real>(&self, logits: &[T], first: usize, tile: &mut [Chunk<T>]) {
        if self.rows < LANES {
            tile.fill([T::NEG_INFINITY; LANES]);
        }
        if self.side_by_side {
            let classes =
                logits.get(self.starts[0] + first * self.inner..).unwrap_or_default().chunks(self.inner);
            for (chunk, logits) in tile.iter_mut().zip(classes) {
                match logits.first_chunk() {
                    Some(neighbours) if self.rows == LANES => *chunk = *neighbours,
                    _ => chunk.iter_mut().zip(&logits[..self.rows]).for_each(|(place, &x)| *place = x),
                }
            }
        } else {
            for (lane, start) in self.starts[..self.rows].iter().enumerate() {
                let start = start + first * self.inner;
                let column = logits.get(start..).unwrap_or_default().iter().step_by(self.inner);
                for (chunk, &x) in tile.iter_mut().zip(column) {
                    chunk[lane] = x;
                }
            }
        }
    }

    /// Fills a tile with what [`store`](Group::store) has left in the result.
    #[inline(always)]
    fn load_terms<T: Real>(&self, result: &SharedResult<'_, T>, first: usize, tile: &mut [Chunk<T>]) {
        for (j, chunk) in tile.iter_mut().enumerate() {
            let offset = (first + j) * self.inner;
            if self.side_by_side {
                // SAFETY: this is one class of the rows of this group, which lie side by side.
                let class = unsafe { result.part(self.starts[0] + offset, self.rows) };
                match class.first_chunk() {
                    Some(class) => *chunk = *class,
                    None => chunk.iter_mut().zip(class).for_each(|(place, term)| *place = *term),
                }
                continue;
            }
            for (place, start) in chunk.iter_mut().zip(&self.starts[..self.rows]) {
                // SAFETY: the element is of a row of this group.
                let element = unsafe { result.part(start + offset, 1) };
                element.iter().for_each(|term| *place = *term);
            }
        }
    }

    /// Writes a tile to the result, from class `first` on.
    #[inline(always)]
    fn store<T: Real>(&self, tile: &[Chunk<T>], first: usize, result: &SharedResult<'_, T>) {
        if self.side_by_side {
            for (j, chunk) in tile.iter().enumerate() {
                // SAFETY: this is one class of the rows of this group, which lie side by side.
                let class = unsafe { result.part(self.starts[0] + (first + j) * self.inner, self.rows) };
                match class.first_chunk_mut() {
                    Some(class) => *class = *chunk,
                    None => class.iter_mut().zip(chunk).for_each(|(place, &value)| *place = value),
                }
            }
        } else {
            for (lane, start) in self.starts[..self.rows].iter().enumerate() {
                for (j, chunk) in tile.iter().enumerate() {
                    // SAFETY: the element is of a row of this group.
                    let element = unsafe { result.part(start + (first + j) * self.inner, 1) };
                    element.fill(chunk[lane]);
                }
            }
        }
    }

    /// Writes one value for each row.
    #[inline(always)]
    fn store_per_row<T: Real>(&self, values: &Chunk<T>, result: &SharedResult<'_, T>) {
        // SAFETY: these are the places of this group's rows.
        let places = unsafe { result.part(self.first_row, self.rows) };
        places.iter_mut().zip(values).for_each(|(place, &value)| *place = value);
    }
}
