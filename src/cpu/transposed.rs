//! Rows of a few classes, sixteen at a time: each in a lane of its own.
//!
//! The rows are transposed on their way to the registers and back, so that a vector has one class of all of them. What
//! is one number for each row is a vector, too, and no lanes are ever joined. A row's accumulators are vectors next to each
//! other, which `lanes.rs` says how to add up.

use super::exponential::Anchors;
use super::lanes::{self, BLOCK, BlockSums, LANES};
use super::real::Real;
use super::short::Bundle;
use super::statistics::LastStep;
use super::vectors::Vector;

/// The most classes: sixteen longer rows were slower from memory, if not from a cache.
const MOST: usize = 24;

/// How many of so many rows of so many classes are faster so than one beside the other: of shorter ones, a vector holds
/// several, which are joined in few steps, and lanes without a row are for nothing.
pub(super) const fn worth_it(rows: usize, classes: usize) -> usize {
    let left = rows % LANES;
    match classes {
        5..=MOST if left > LANES / 4 * 3 => rows,
        5..=MOST => rows - left,
        _ => 0,
    }
}

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

    /// Of each row as many vectors as there are classes, or up to three more.
    #[inline(always)]
    fn vectors(&self) -> usize {
        self.classes.next_multiple_of(4)
    }

    /// How far so many of all rows reach.
    #[inline(always)]
    fn reach_of(&self, vectors: usize) -> usize {
        (LANES - 1) * self.classes + vectors
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

/// Four classes of sixteen rows, of which the first begins where `logits` does: zeros behind the last logit of all, since
/// what comes of lanes without a row is nobody's.
#[cold]
fn gathered<T: Real>(logits: &[T], classes: usize) -> [T; 4 * LANES] {
    let mut gathered = [T::ZERO; 4 * LANES];
    for (row, places) in gathered.as_chunks_mut::<4>().0.iter_mut().enumerate() {
        let Some(logits) = logits.get(row * classes..) else { break };
        match logits.first_chunk() {
            Some(four) => *places = *four,
            None => places.iter_mut().zip(logits).for_each(|(place, &x)| *place = x),
        }
    }
    gathered
}

/// The same back to where `result` begins, as far as there are places. What is written behind a row belongs to the next one.
#[cold]
fn scatter<T: Real>(fours: &[T; 4 * LANES], result: &mut [T], classes: usize) {
    for (row, numbers) in fours.as_chunks::<4>().0.iter().enumerate() {
        let Some(result) = result.get_mut(row * classes..) else { break };
        match result.first_chunk_mut() {
            Some(places) => *places = *numbers,
            None => result.iter_mut().zip(numbers).for_each(|(place, &number)| *place = number),
        }
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
        let vectors = &mut chunks[..self.vectors()];
        if logits.len() >= self.reach_of(self.vectors()) {
            return V::load_transposed(machine, logits, self.classes, vectors);
        }
        for (index, vectors) in vectors.chunks_exact_mut(4).enumerate() {
            let logits = logits.get(4 * index..).unwrap_or_default();
            if logits.len() >= self.reach_of(4) {
                V::load_transposed(machine, logits, self.classes, vectors);
            } else {
                V::load_transposed(machine, &gathered(logits, self.classes), 4, vectors);
            }
        }
    }

    #[inline(always)]
    fn store<V: Vector>(&self, chunks: &[V; MOST], result: &mut [V::Number]) {
        let vectors = &chunks[..self.vectors()];
        if result.len() >= self.reach_of(self.vectors()) {
            return V::store_transposed(vectors, result, self.classes);
        }
        for (index, vectors) in vectors.chunks_exact(4).enumerate().rev() {
            let result = result.get_mut(4 * index..).unwrap_or_default();
            if result.len() >= self.reach_of(4) {
                V::store_transposed(vectors, result, self.classes);
            } else {
                let mut fours = [V::Number::ZERO; 4 * LANES];
                V::store_transposed(vectors, &mut fours, 4);
                scatter(&fours, result, self.classes);
            }
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
        let mut accumulators = [[V::splat(machine, V::Number::ZERO); 2]; LANES];
        // The first may have a second class. Loops of so many classes each, so that the compiler writes them out.
        let more = self.classes.saturating_sub(LANES);
        let (first, others) = ([0, more], [more, self.classes.min(LANES)]);
        Self::accumulate::<V, KEPT, 2>(machine, chunks, anchors, first, &mut accumulators);
        Self::accumulate::<V, KEPT, 1>(machine, chunks, anchors, others, &mut accumulators);
        lanes::joined(accumulators, self.classes)
    }

    #[inline(always)]
    fn finish<V: Vector>(&self, chunks: &mut [V; MOST], of_rows: [V; 2], step: impl LastStep<V>) {
        for chunk in &mut chunks[..self.classes] {
            *chunk = step.of(*chunk, of_rows);
        }
    }
}
