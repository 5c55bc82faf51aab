//! Rows of a few classes, sixteen at a time: each in a lane of its own.
//!
//! The rows are transposed on their way to the registers and back, so that a vector has one class of all of them. What
//! is one number for each row is a vector, too, and no lanes are ever joined. A row's accumulators are vectors next to each
//! other, which `lanes.rs` says how to add up.

use super::exponential::Anchors;
use super::lanes::{BLOCK, BlockSums, Chunk, LANES};
use super::real::Real;
use super::short::Bundle;
use super::statistics::LastStep;
use super::vectors::Vector;

/// The fewest classes of rows that are worth it: of shorter ones, a vector holds several, which are joined in few steps.
pub(super) const FEWEST: usize = 5;

/// The most: those of a block.
const MOST: usize = BLOCK * LANES;

/// The most of a wider type than f32 that are worth it: a longer row fills enough registers by itself.
pub(super) const MOST_OF_WIDE: usize = 2 * LANES;

/// As many rows as there are lanes.
pub(super) struct Transposed {
    classes: usize,
}

/// The row of each lane, and the lane of each row.
const SAME: [u32; LANES] = {
    let (mut same, mut lane) = ([0; LANES], 0);
    while lane < LANES {
        same[lane] = lane as u32;
        lane += 1;
    }
    same
};

impl Transposed {
    pub(super) fn new(classes: usize) -> Self {
        Transposed { classes: classes.clamp(1, MOST) }
    }

    /// How far whole vectors of classes reach from the first row's beginning.
    #[inline(always)]
    fn reach(&self) -> usize {
        (LANES - 1) * self.classes + self.classes.next_multiple_of(LANES)
    }

    /// What some accumulators take in that have so many classes each.
    #[inline(always)]
    fn accumulate<V: Vector, const KEPT: bool, const CLASSES: usize>(
        machine: V::Machine,
        chunks: &mut [V; MOST],
        anchors: &Anchors<V>,
        [first, end]: [usize; 2],
        accumulators: &mut [[V; 2]; LANES],
    ) {
        for (index, accumulator) in accumulators.iter_mut().enumerate().take(end).skip(first) {
            let mut sums = BlockSums::<V, KEPT>::new(machine);
            for number in 0..CLASSES {
                let chunk = &mut chunks[index + number * LANES];
                let term = sums.add(number, *chunk, anchors);
                if KEPT {
                    *chunk = term;
                }
            }
            *accumulator = [sums.at_anchor(), sums.others()];
        }
    }
}

/// The last logits of all, with nothing behind them.
#[cold]
fn filled_up<T: Real>(logits: &[T]) -> [T; LANES * MOST] {
    let mut filled = [T::NEG_INFINITY; LANES * MOST];
    filled.iter_mut().zip(logits).for_each(|(place, &x)| *place = x);
    filled
}

/// Puts as many of the rows whose classes these are as there are places to where `result` begins.
#[cold]
fn store_last<T: Real>(classes: &[Chunk<T>], result: &mut [T]) {
    for (row, places) in result.chunks_mut(classes.len()).take(LANES).enumerate() {
        places.iter_mut().zip(classes).for_each(|(place, class)| *place = class[row]);
    }
}

impl Bundle for Transposed {
    /// A class of all rows each; those behind the last class may hold anything.
    type Chunks<V: Vector> = [V; MOST];

    fn classes(&self) -> usize {
        self.classes
    }

    fn rows(&self) -> usize {
        LANES
    }

    fn row_of_lane(&self) -> &[u32; LANES] {
        &SAME
    }

    fn first_lanes(&self) -> &[u32; LANES] {
        &SAME
    }

    #[inline(always)]
    fn chunks<V: Vector>(&self, machine: V::Machine) -> [V; MOST] {
        [V::splat(machine, V::Number::ZERO); MOST]
    }

    #[inline(always)]
    fn load<V: Vector>(&self, machine: V::Machine, logits: &[V::Number], chunks: &mut [V; MOST]) {
        let filled;
        let logits = if logits.len() >= self.reach() {
            logits
        } else {
            filled = filled_up(logits);
            &filled
        };
        let sixteens = chunks.as_chunks_mut::<LANES>().0.iter_mut();
        for (index, classes) in sixteens.take(self.classes.div_ceil(LANES)).enumerate() {
            V::load_transposed(machine, &logits[index * LANES..], self.classes, classes);
        }
    }

    #[inline(always)]
    fn store<V: Vector>(&self, chunks: &[V; MOST], result: &mut [V::Number]) {
        let sixteens = chunks.as_chunks::<LANES>().0;
        let is_whole = result.len() >= self.reach();
        if is_whole && self.classes >= LANES {
            // The last classes of all rows first: what is written behind a row belongs to the first ones of the next.
            for (index, classes) in sixteens[..self.classes.div_ceil(LANES)].iter().enumerate().rev() {
                V::store_transposed(classes, &mut result[index * LANES..], self.classes);
            }
        } else if is_whole {
            let mut rows = [V::Number::ZERO; LANES * LANES];
            V::store_transposed(&sixteens[0], &mut rows, LANES);
            for (row, numbers) in rows.as_chunks::<LANES>().0.iter().enumerate() {
                // What is written behind it belongs to the next one.
                let Some(places) = result[row * self.classes..].first_chunk_mut() else { break };
                *places = *numbers;
            }
        } else {
            let mut numbers = [[V::Number::ZERO; LANES]; MOST];
            for (numbers, chunk) in numbers.iter_mut().zip(chunks) {
                chunk.store(numbers);
            }
            store_last(&numbers[..self.classes], result);
        }
    }

    #[inline(always)]
    fn maxima<V: Vector>(&self, chunks: &[V; MOST]) -> V {
        // As many as there are chunks in a block, so that none waits for the one before it.
        let mut maxima = [chunks[0].constant(V::Number::NEG_INFINITY); BLOCK];
        let (fours, rest) = chunks[..self.classes].as_chunks::<BLOCK>();
        for four in fours {
            for (maxima, &chunk) in maxima.iter_mut().zip(four) {
                *maxima = maxima.larger(chunk);
            }
        }
        for (maxima, &chunk) in maxima.iter_mut().zip(rest) {
            *maxima = maxima.larger(chunk);
        }
        let [first, second, third, fourth] = maxima;
        first.larger(second).larger(third.larger(fourth))
    }

    #[inline(always)]
    fn terms<V: Vector, const KEPT: bool>(
        &self,
        machine: V::Machine,
        chunks: &mut [V; MOST],
        anchors: &Anchors<V>,
    ) -> [V; 2] {
        let mut joined = [[V::splat(machine, V::Number::ZERO); 2]; LANES];
        // The first accumulators may have a class more than the others. Loops of so many classes each, so that the compiler
        // writes them out.
        let more = self.classes % LANES;
        let (first, others) = ([0, more], [more, LANES]);
        match self.classes / LANES {
            0 => Self::accumulate::<V, KEPT, 1>(machine, chunks, anchors, first, &mut joined),
            1 => {
                Self::accumulate::<V, KEPT, 2>(machine, chunks, anchors, first, &mut joined);
                Self::accumulate::<V, KEPT, 1>(machine, chunks, anchors, others, &mut joined);
            }
            2 => {
                Self::accumulate::<V, KEPT, 3>(machine, chunks, anchors, first, &mut joined);
                Self::accumulate::<V, KEPT, 2>(machine, chunks, anchors, others, &mut joined);
            }
            3 => {
                Self::accumulate::<V, KEPT, 4>(machine, chunks, anchors, first, &mut joined);
                Self::accumulate::<V, KEPT, 3>(machine, chunks, anchors, others, &mut joined);
            }
            _ => Self::accumulate::<V, KEPT, BLOCK>(machine, chunks, anchors, others, &mut joined),
        }
        let mut width = LANES;
        while width > 1 {
            width /= 2;
            // Not where there is nothing to be joined.
            for index in 0..width.min(self.classes.saturating_sub(width)) {
                let [at_anchor, others] = joined[index + width];
                joined[index] = [joined[index][0].plus(at_anchor), joined[index][1].plus(others)];
            }
        }
        joined[0]
    }

    #[inline(always)]
    fn finish<V: Vector>(&self, chunks: &mut [V; MOST], of_rows: [V; 2], step: impl LastStep<V>) {
        for chunk in &mut chunks[..self.classes] {
            *chunk = step.of(*chunk, of_rows);
        }
    }
}
