//! The loops that the compiler turns into vector instructions, and the order in which a row is summed.
//!
//! A *chunk* is [`LANES`] numbers that go through the same arithmetic. There are two arrangements: sixteen
//! consecutive logits of one row (`row.rs`), and one logit of each of sixteen rows (`columns.rs`).
//!
//! The order of summation belongs to the row and is the same in both. Class j adds to the accumulator of
//! number j mod [`LANES`]: of every [`BLOCK`]·[`LANES`] classes, the terms for one accumulator are added up in
//! the type of the logits first, which is as many as the promised bounds bear, and what is left over at the
//! end of the row joins one by one. At last each accumulator of the upper half joins the one half of them
//! below, until one is left. The width of the machine's registers does not come into it.

use super::compensated::CompensatedSum;
use super::exponential::{exp_of_difference, lifted_exp_of_difference};
use super::real::Real;
use super::statistics::Statistics;

/// Numbers in a chunk, and accumulators of a row: one register of f32 on the widest machine.
pub(super) const LANES: usize = 16;

/// Terms that are added in the type of the logits before their sum moves on to a more exact one.
pub(super) const BLOCK: usize = 4;

/// Logits whose statistics are taken at a time, against a maximum of their own. A longer row is taken in
/// such stretches: 16 KiB of f32, which a first-level cache holds between one look and the next; sixteen
/// rows of it still fit a second-level one.
pub(super) const STRETCH: usize = 4096;

pub(super) type Chunk<T> = [T; LANES];

/// The larger of two, and the first where the second is a NaN.
#[inline(always)]
fn larger<T: Real>(a: T, b: T) -> T {
    if b > a { b } else { a }
}

/// The greatest number in each lane, NaN passed over; −∞ where there is none.
#[inline(always)]
pub(super) fn maxima<T: Real>(chunks: &[Chunk<T>]) -> Chunk<T> {
    // As many independent maxima as a block has chunks, so that none waits for the one before it.
    let mut of_blocks = [[T::NEG_INFINITY; LANES]; BLOCK];
    let (blocks, rest) = chunks.as_chunks::<BLOCK>();
    for block in blocks {
        for (maxima, chunk) in of_blocks.iter_mut().zip(block) {
            take_larger(maxima, chunk);
        }
    }
    let [mut maxima, others @ ..] = of_blocks;
    for chunk in others.iter().chain(rest) {
        take_larger(&mut maxima, chunk);
    }
    maxima
}

#[inline(always)]
pub(super) fn take_larger<T: Real>(maxima: &mut Chunk<T>, chunk: &Chunk<T>) {
    for (maximum, &x) in maxima.iter_mut().zip(chunk) {
        *maximum = larger(*maximum, x);
    }
}

/// The greatest number of all lanes.
#[inline(always)]
pub(super) fn across<T: Real>(lanes: &Chunk<T>) -> T {
    lanes.iter().fold(T::NEG_INFINITY, |maximum, &x| larger(maximum, x))
}

/// What the exponentials are taken relative to: the maximum, except where there is nothing but −∞. There,
/// any finite number makes every term 0, and still makes a NaN of a NaN.
#[inline(always)]
pub(super) fn anchor<T: Real>(maximum: T) -> T {
    if maximum == T::NEG_INFINITY { T::ZERO } else { maximum }
}

/// Sixteen sums that are under way: the accumulators of one row, or one accumulator of each of sixteen rows.
///
/// Their terms are exp(x − anchor) where they are `KEPT`, to become probabilities; otherwise the lifted ones
/// that logarithms need.
#[derive(Clone, Copy)]
pub(super) struct Totals<T, const KEPT: bool> {
    /// How many logits were the anchor itself. A T counts exactly far beyond any stretch.
    at_anchor: Chunk<T>,
    /// The sum of the terms of all others, in two parts.
    high: [f64; LANES],
    low: [f64; LANES],
}

impl<T: Real, const KEPT: bool> Totals<T, KEPT> {
    pub(super) const EMPTY: Self =
        Totals { at_anchor: [T::ZERO; LANES], high: [0.0; LANES], low: [0.0; LANES] };

    /// Takes in some chunks, and gives their terms.
    #[inline(always)]
    #[expect(clippy::needless_range_loop, reason = "one index into several arrays at once")]
    pub(super) fn add<const CHUNKS: usize>(
        &mut self,
        chunks: [&Chunk<T>; CHUNKS],
        anchors: &Chunk<T>,
    ) -> [Chunk<T>; CHUNKS] {
        let mut terms = [[T::ZERO; LANES]; CHUNKS];
        let mut others = [T::ZERO; LANES];
        // All chunks in one loop over the lanes, which is what the compiler makes vectors of; and nothing of
        // another width in it, which would halve them.
        for lane in 0..LANES {
            let mut sum = T::ZERO;
            let mut count = T::ZERO;
            for (terms, chunk) in terms.iter_mut().zip(chunks) {
                let (x, anchor) = (chunk[lane], anchors[lane]);
                let term =
                    if KEPT { exp_of_difference(x, anchor) } else { lifted_exp_of_difference(x, anchor) };
                terms[lane] = term;
                sum = sum + if x == anchor { T::ZERO } else { term };
                count = count + if x == anchor { T::ONE } else { T::ZERO };
            }
            others[lane] = sum;
            self.at_anchor[lane] = self.at_anchor[lane] + count;
        }
        for lane in 0..LANES {
            others[lane].accumulate(&mut self.high[lane], &mut self.low[lane]);
        }
        terms
    }

    /// Joins another sixteen sums to these.
    #[inline(always)]
    pub(super) fn join(&mut self, other: &Self) {
        for lane in 0..LANES {
            self.at_anchor[lane] = self.at_anchor[lane] + other.at_anchor[lane];
            let joined = self.sum(lane).join(other.sum(lane));
            (self.high[lane], self.low[lane]) = (joined.high, joined.low);
        }
    }

    /// Joins the lanes to one another: these are the accumulators of one row, which is the lane 0 from now on.
    #[inline(always)]
    pub(super) fn join_lanes(&mut self) {
        let mut width = LANES;
        while width > 1 {
            width /= 2;
            for lane in 0..width {
                self.at_anchor[lane] = self.at_anchor[lane] + self.at_anchor[lane + width];
                let joined = self.sum(lane).join(self.sum(lane + width));
                (self.high[lane], self.low[lane]) = (joined.high, joined.low);
            }
        }
    }

    #[inline(always)]
    fn sum(&self, lane: usize) -> CompensatedSum {
        CompensatedSum { high: self.high[lane], low: self.low[lane] }
    }

    /// What a lane has come to, given its maximum.
    #[inline(always)]
    pub(super) fn statistics(&self, lane: usize, maximum: T) -> Statistics {
        let sum = self.sum(lane);
        let sum = if KEPT { sum } else { sum.times_power_of_two(T::UNLIFT) };
        Statistics::new(maximum, self.at_anchor[lane].widen(), sum)
    }
}

/// Σ `term` over two rows side by side, made of values of `T`: of class j in the accumulator of number j mod
/// [`LANES`], and those joined one after the other.
#[inline(always)]
pub(super) fn sum_of_pairs<T: Real, A: Copy, B: Copy>(
    first: &[A],
    second: &[B],
    term: impl Fn(A, B) -> f64,
) -> CompensatedSum {
    let (mut high, mut low) = ([0.0; LANES], [0.0; LANES]);
    let (first, last_first) = first.as_chunks::<LANES>();
    let (second, last_second) = second.as_chunks::<LANES>();
    for (first, second) in first.iter().zip(second) {
        for lane in 0..LANES {
            T::accumulate_wide(term(first[lane], second[lane]), &mut high[lane], &mut low[lane]);
        }
    }
    for (lane, (&first, &second)) in last_first.iter().zip(last_second).enumerate() {
        T::accumulate_wide(term(first, second), &mut high[lane], &mut low[lane]);
    }
    let lanes = high.into_iter().zip(low).map(|(high, low)| CompensatedSum { high, low });
    lanes.fold(CompensatedSum::default(), CompensatedSum::join)
}
