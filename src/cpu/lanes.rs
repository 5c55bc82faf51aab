//! The loops that the compiler turns into vector instructions, and the order in which a row is summed.
//!
//! A *chunk* is [`LANES`] numbers that go through the same arithmetic. There are three arrangements: sixteen
//! consecutive logits of one row (`row.rs`), all logits of a few rows (`short.rs`), and one logit of each of
//! sixteen rows (`columns.rs`).
//!
//! The order of summation belongs to the row and is the same in all of them. Class j adds to the accumulator of
//! number j mod [`LANES`]. Of every [`BLOCK`]·[`LANES`] classes, of which the last may be fewer, the terms for one
//! accumulator are added up in pairs in the type of the logits first, which is as many as the promised bounds
//! bear. At last each accumulator of the upper half joins the one half of them below, until one is left. A row of
//! one block does that in the type of the logits, too. The width of the machine's registers does not come into it.

use std::marker::PhantomData;

use super::compensated::CompensatedSum;
use super::exponential::Anchors;
use super::real::Real;
use super::statistics::{Statistics, Sums};
pub(super) use super::vectors::LANES;
use super::vectors::{Plus, Vector};

/// Terms that are added in the type of the logits before their sum moves on to a more exact one.
pub(super) const BLOCK: usize = 4;

/// Logits whose statistics are taken at a time, against a maximum of their own. A longer row is taken in
/// such stretches: 16 KiB of f32, which a first-level cache holds between one look and the next; sixteen
/// rows of it still fit a second-level one.
pub(super) const STRETCH: usize = 4096;

/// So many numbers ahead, at least, memory is asked for those to come: it answers later than a short row is done.
pub(super) const AHEAD: usize = 1024;

/// [`LANES`] numbers in memory.
pub(super) type Chunk<T> = [T; LANES];

/// [`LANES`] numbers at hand.
pub(super) type Lanes<T, M> = <T as Real>::Vector<M>;

/// The first logits of some, as far as they belong to a row of so many classes. −∞ takes no part in anything, so
/// a chunk that is not full can be filled up with it.
#[inline(always)]
pub(super) fn chunk_of<V: Vector>(machine: V::Machine, logits: &[V::Number], classes: usize) -> V {
    let nothing = V::splat(machine, V::Number::NEG_INFINITY);
    match logits.first_chunk::<LANES>() {
        Some(chunk) if classes >= LANES => V::load(machine, chunk),
        Some(chunk) => V::load(machine, chunk).kept_in((1u16 << classes) - 1, nothing),
        None => {
            let mut filled = [V::Number::NEG_INFINITY; LANES];
            filled.iter_mut().zip(logits.iter().take(classes)).for_each(|(place, &x)| *place = x);
            V::load(machine, &filled)
        }
    }
}

/// Puts the first of a chunk's numbers, so many, to where `places` begin; and the others behind them if there
/// are places, for whoever writes to these later.
#[inline(always)]
pub(super) fn store<V: Vector>(chunk: V, count: usize, places: &mut [V::Number]) {
    match places.first_chunk_mut::<LANES>() {
        Some(places) => chunk.store(places),
        None => {
            places.iter_mut().zip(chunk.numbers()).take(count).for_each(|(place, value)| *place = value);
        }
    }
}

/// The greatest number in each lane, NaN passed over; −∞ where there is none.
#[inline(always)]
pub(super) fn maxima<V: Vector>(machine: V::Machine, chunks: &[Chunk<V::Number>]) -> V {
    // As many independent maxima as a block has chunks, so that none waits for the one before it.
    let mut of_blocks = [V::splat(machine, V::Number::NEG_INFINITY); BLOCK];
    let (blocks, rest) = chunks.as_chunks::<BLOCK>();
    for block in blocks {
        for (maxima, chunk) in of_blocks.iter_mut().zip(block) {
            *maxima = maxima.larger(V::load(machine, chunk));
        }
    }
    for (maxima, chunk) in of_blocks.iter_mut().zip(rest) {
        *maxima = maxima.larger(V::load(machine, chunk));
    }
    let [first, second, third, fourth] = of_blocks;
    first.larger(second).larger(third.larger(fourth))
}

/// What up to [`BLOCK`] chunks come to, taken in one by one.
///
/// The terms are exp(x − anchor) where they are `KEPT`, to become probabilities; otherwise lifted as logarithms need
/// it, and added up only where x is not the anchor itself.
#[derive(Clone, Copy)]
pub(super) struct BlockSums<V, const KEPT: bool> {
    /// Of the first two chunks, and of the other two.
    halves: [V; 2],
    /// How many logits were the anchor itself, from [`NONE_COUNTED`](Real::NONE_COUNTED) on; none where terms are kept.
    counted: V,
}

impl<V: Vector, const KEPT: bool> BlockSums<V, KEPT> {
    #[inline(always)]
    pub(super) fn new(machine: V::Machine) -> Self {
        Self::counting_from(machine, V::splat(machine, V::Number::NONE_COUNTED))
    }

    #[inline(always)]
    fn counting_from(machine: V::Machine, counted: V) -> Self {
        BlockSums { halves: [V::splat(machine, V::Number::ZERO); 2], counted }
    }

    /// Takes in the chunk of a number below [`BLOCK`], and gives its terms.
    #[inline(always)]
    pub(super) fn add(&mut self, number: usize, x: V, anchors: &Anchors<V>) -> V {
        let term = if KEPT { anchors.exponentials(x) } else { anchors.lifted_exponentials(x) };
        let mut summand = term;
        if !KEPT {
            summand = term.zero_where_equal(x, anchors.numbers());
            self.counted = self.counted.counted_where_equal(x, anchors.numbers());
        }
        let half = &mut self.halves[number / 2];
        // Each half is 0 before.
        *half = if number.is_multiple_of(2) { summand } else { half.plus(summand) };
        term
    }

    /// How many logits were the anchor, lane by lane.
    #[inline(always)]
    pub(super) fn at_anchor(&self) -> V {
        number_of(self.counted)
    }

    /// The sum of the terms, lane by lane.
    #[inline(always)]
    pub(super) fn others(&self) -> V {
        self.halves[0].plus(self.halves[1])
    }

    /// What this has come to as the one block of a row that has so many lanes, in all of these lanes: how many
    /// logits were the anchor, and the sum of the terms.
    #[inline(always)]
    pub(super) fn across(&self, lanes: usize) -> [V; 2] {
        let at_anchor = self.at_anchor();
        [if KEPT { at_anchor } else { at_anchor.across(lanes, Plus) }, self.others().across(lanes, Plus)]
    }

    /// What the row of this one block has come to.
    #[inline(always)]
    pub(super) fn of_row(&self) -> Sums {
        let at_anchor = if KEPT { V::Number::ZERO } else { self.at_anchor().total() };
        of_row_of_block::<V::Number, KEPT>(at_anchor, self.others().total())
    }
}

/// Sixteen sums that are under way: the accumulators of a row of several blocks, or one accumulator of each of
/// sixteen such rows.
#[derive(Clone, Copy)]
pub(super) struct Totals<V: Vector, const KEPT: bool> {
    /// As that of blocks; exact far beyond any stretch.
    counted: V,
    sums: V::Sums,
}

impl<V: Vector, const KEPT: bool> Totals<V, KEPT> {
    #[inline(always)]
    pub(super) fn new(machine: V::Machine) -> Self {
        Totals { counted: V::splat(machine, V::Number::NONE_COUNTED), sums: V::no_sums(machine) }
    }

    /// Sums for the next block, which count on.
    #[inline(always)]
    pub(super) fn next_block(&self, machine: V::Machine) -> BlockSums<V, KEPT> {
        BlockSums::counting_from(machine, self.counted)
    }

    /// Takes in the block that sums were given for.
    #[inline(always)]
    pub(super) fn add(&mut self, block: &BlockSums<V, KEPT>) {
        block.others().add_to(&mut self.sums);
        self.counted = block.counted;
    }

    /// Joins another sixteen sums to these.
    #[inline(always)]
    pub(super) fn join(&mut self, other: &Self) {
        self.counted = self.counted.plus(number_of(other.counted));
        V::join(&mut self.sums, &other.sums);
    }

    /// What the row has come to whose accumulators these are.
    #[inline(always)]
    pub(super) fn of_row(&self) -> Sums {
        let at_anchor = if KEPT { V::Number::ZERO } else { number_of(self.counted).total() };
        sums_of_row::<V::Number, KEPT>(at_anchor, V::join_lanes(&self.sums))
    }

    /// What the rows have come to that each have a lane.
    #[inline(always)]
    pub(super) fn of_rows(&self, maxima: V) -> [Statistics; LANES] {
        let [high, low] = V::parts(&self.sums);
        of_lanes(maxima, number_of(self.counted), |at_anchor, lane| {
            let sum = CompensatedSum { high: high[lane], low: low[lane] };
            sums_of_row::<V::Number, KEPT>(at_anchor, sum)
        })
    }
}

/// What was counted from [`NONE_COUNTED`](Real::NONE_COUNTED) on.
#[inline(always)]
fn number_of<V: Vector>(counted: V) -> V {
    counted.minus(counted.constant(V::Number::NONE_COUNTED))
}

/// What a row of one block has come to.
#[inline(always)]
fn of_row_of_block<T: Real, const KEPT: bool>(at_anchor: T, sum: T) -> Sums {
    sums_of_row::<T, KEPT>(at_anchor, CompensatedSum { high: sum.widen(), low: 0.0 })
}

/// What the first accumulators, so many, come to of rows that each have a lane: how many logits were the anchor, and the
/// sum of the terms.
#[inline(always)]
pub(super) fn joined<V: Vector>(mut accumulators: [[V; 2]; LANES], count: usize) -> [V; 2] {
    let mut width = LANES;
    while width > 1 {
        width /= 2;
        // Not where there is nothing to be joined: short rows are many.
        for index in 0..width.min(count.saturating_sub(width)) {
            let [at_anchor, others] = accumulators[index + width];
            let [of_lower, others_of_lower] = accumulators[index];
            accumulators[index] = [of_lower.plus(at_anchor), others_of_lower.plus(others)];
        }
    }
    accumulators[0]
}

/// What rows of one block have come to that each have a lane, given their accumulators.
#[inline(always)]
pub(super) fn of_rows_of_block<V: Vector, const KEPT: bool>(
    maxima: V,
    accumulators: &[BlockSums<V, KEPT>],
) -> [Statistics; LANES] {
    let zero = maxima.constant(V::Number::ZERO);
    let mut of_accumulators = [[zero; 2]; LANES];
    for (place, sums) in of_accumulators.iter_mut().zip(accumulators) {
        *place = [sums.at_anchor(), sums.others()];
    }
    let [at_anchor, sums] = joined(of_accumulators, accumulators.len());
    let of_rows = sums.numbers();
    of_lanes(maxima, at_anchor, |at_anchor, lane| {
        of_row_of_block::<V::Number, KEPT>(at_anchor, of_rows[lane])
    })
}

#[inline(always)]
fn of_lanes<V: Vector>(
    maxima: V,
    at_anchor: V,
    of_lane: impl Fn(V::Number, usize) -> Sums,
) -> [Statistics; LANES] {
    let (of_maxima, counts) = (maxima.numbers(), at_anchor.numbers());
    let mut statistics = [Statistics::EMPTY; LANES];
    for (lane, place) in statistics.iter_mut().enumerate() {
        *place = Statistics::new(of_maxima[lane], of_lane(counts[lane], lane));
    }
    statistics
}

/// What a row has come to, given the sum of its terms.
#[inline(always)]
fn sums_of_row<T: Real, const KEPT: bool>(at_anchor: T, sum: CompensatedSum) -> Sums {
    let others = if KEPT { sum } else { sum.times_power_of_two(T::UNLIFT) };
    Sums { at_maximum: at_anchor.widen(), others }
}

/// A sum in every lane, of numbers that are made of values of `T` in f64.
#[derive(Debug, Clone)]
pub(super) struct LaneSums<T> {
    high: Chunk<f64>,
    low: Chunk<f64>,
    made_of: PhantomData<T>,
}

impl<T: Real> LaneSums<T> {
    #[inline(always)]
    pub(super) fn new() -> Self {
        LaneSums { high: [0.0; LANES], low: [0.0; LANES], made_of: PhantomData }
    }

    #[inline(always)]
    pub(super) fn add(&mut self, lane: usize, term: f64) {
        T::accumulate_wide(term, &mut self.high[lane], &mut self.low[lane]);
    }

    /// Adds `term` of all elements of two rows side by side, the first of which belong to `lane`, and those that follow
    /// to the lanes that follow.
    #[inline(always)]
    pub(super) fn add_pairs<A: Copy, B: Copy>(
        &mut self,
        lane: usize,
        first: &[A],
        second: &[B],
        term: impl Fn(A, B) -> f64,
    ) {
        // By themselves, so that they stay in registers.
        let mut sums = self.clone();
        let (begun, rest) = match lane {
            0 => (0, first.len().min(second.len())),
            _ => ((LANES - lane).min(first.len()).min(second.len()), first.len().min(second.len())),
        };
        for (place, (&first, &second)) in first[..begun].iter().zip(&second[..begun]).enumerate() {
            sums.add(lane + place, term(first, second));
        }
        let (first, last_first) = first[begun..rest].as_chunks::<LANES>();
        let (second, last_second) = second[begun..rest].as_chunks::<LANES>();
        for (first, second) in first.iter().zip(second) {
            for lane in 0..LANES {
                sums.add(lane, term(first[lane], second[lane]));
            }
        }
        for (lane, (&first, &second)) in last_first.iter().zip(last_second).enumerate() {
            sums.add(lane, term(first, second));
        }
        *self = sums;
    }

    /// The sum of all lanes, the upper half of them joined to the lower one, until one is left.
    #[inline(always)]
    pub(super) fn join(&self) -> CompensatedSum {
        let LaneSums { mut high, mut low, .. } = *self;
        let mut width = LANES;
        while width > 1 {
            width /= 2;
            for lane in 0..width {
                let (other_high, other_low) = (high[lane + width], low[lane + width]);
                T::join(&mut high[lane], &mut low[lane], other_high, other_low);
            }
        }
        CompensatedSum { high: high[0], low: low[0] }
    }
}
