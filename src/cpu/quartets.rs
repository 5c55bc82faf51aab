//! Rows of one to four chunks: four of them at once.
//!
//! What a row's chunks come to is joined lane by lane first. Then two rows at a time share the steps that join the
//! lanes: the lower half of one row's lanes and the upper half of the other's are where both are joined. At last
//! each of the four has four lanes of one chunk.

use super::exponential::Anchors;
use super::lanes::{BlockSums, LANES, chunk_of, store};
use super::real::Real;
use super::short::Bundle;
use super::vectors::Vector;

/// Rows at once, and so the lanes that each has in the end.
const ROWS: usize = 4;

/// Four rows of so many chunks, of which the last may not be full.
pub(super) struct Quartets<const CHUNKS: usize> {
    classes: usize,
}

impl<const CHUNKS: usize> Quartets<CHUNKS> {
    pub(super) fn new(classes: usize) -> Self {
        Quartets { classes }
    }

    /// What the lanes of each row come to, in its four lanes of the one chunk.
    #[inline(always)]
    fn joined<V: Vector>([first, second, third, fourth]: [V; ROWS], join: impl Fn(V, V) -> V) -> V {
        // The distances 8, 4, 2 and 1, as everywhere.
        let even = joined_halves::<V, 8>(first, third, &join);
        let odd = joined_halves::<V, 8>(second, fourth, &join);
        joined_halves::<V, 4>(even, odd, &join).across(ROWS, join)
    }
}

/// Joins each lane of the upper half of so many to the one half of them below: of one chunk in the lower, of the other
/// in the upper half.
#[inline(always)]
fn joined_halves<V: Vector, const DISTANCE: usize>(one: V, other: V, join: impl Fn(V, V) -> V) -> V {
    let (places, lower) = const {
        let (mut places, mut lower, mut lane) = ([0; LANES], 0, 0);
        while lane < LANES {
            places[lane] = (lane ^ DISTANCE) as u32;
            if lane & DISTANCE == 0 {
                lower |= 1 << lane;
            }
            lane += 1;
        }
        (places, lower)
    };
    join(one.kept_in(lower, other.permuted(&places)), one.permuted(&places).kept_in(lower, other))
}

/// The four lanes of each row, in all lanes.
const OF_ROW: [[u32; LANES]; ROWS] = {
    let mut places = [[0; LANES]; ROWS];
    let mut row = 0;
    while row < ROWS {
        places[row] = [(row * ROWS) as u32; LANES];
        row += 1;
    }
    places
};

const ROW_OF_LANE: [u32; LANES] = [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3];
const FIRST_LANES: [u32; LANES] = [0, 4, 8, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

impl<const CHUNKS: usize> Bundle for Quartets<CHUNKS> {
    type Chunks<V: Vector> = [[V; CHUNKS]; ROWS];

    fn classes(&self) -> usize {
        self.classes
    }

    fn rows(&self) -> usize {
        ROWS
    }

    fn row_of_lane(&self) -> &[u32; LANES] {
        &ROW_OF_LANE
    }

    fn first_lanes(&self) -> &[u32; LANES] {
        &FIRST_LANES
    }

    #[inline(always)]
    fn load<V: Vector>(&self, machine: V::Machine, logits: &[V::Number]) -> [[V; CHUNKS]; ROWS] {
        let mut chunks = [[V::splat(machine, V::Number::NEG_INFINITY); CHUNKS]; ROWS];
        for (row, chunks) in chunks.iter_mut().enumerate() {
            let Some(logits) = logits.get(row * self.classes..).filter(|logits| !logits.is_empty()) else {
                break;
            };
            for (index, chunk) in chunks.iter_mut().enumerate() {
                *chunk = chunk_of(machine, &logits[index * LANES..], self.classes - index * LANES);
            }
        }
        chunks
    }

    #[inline(always)]
    fn store<V: Vector>(&self, chunks: &[[V; CHUNKS]; ROWS], result: &mut [V::Number]) {
        for (row, chunks) in chunks.iter().enumerate() {
            let Some(result) = result.get_mut(row * self.classes..).filter(|result| !result.is_empty())
            else {
                break;
            };
            for (index, &chunk) in chunks.iter().enumerate() {
                store(chunk, self.classes - index * LANES, &mut result[index * LANES..]);
            }
        }
    }

    #[inline(always)]
    fn maxima<V: Vector>(&self, chunks: &[[V; CHUNKS]; ROWS]) -> V {
        let mut maxima = [chunks[0][0]; ROWS];
        for (maxima, chunks) in maxima.iter_mut().zip(chunks) {
            *maxima = chunks[0];
            for &chunk in &chunks[1..] {
                *maxima = maxima.larger(chunk);
            }
        }
        Self::joined(maxima, V::larger)
    }

    #[inline(always)]
    fn terms<V: Vector, const KEPT: bool>(
        &self,
        machine: V::Machine,
        chunks: &mut [[V; CHUNKS]; ROWS],
        anchors: &Anchors<V>,
    ) -> [V; 2] {
        let nothing = BlockSums::<V, KEPT>::new(machine).others();
        let (mut at_anchor, mut others) = ([nothing; ROWS], [nothing; ROWS]);
        for row in 0..ROWS {
            let anchors = anchors.permuted(&OF_ROW[row]);
            let mut sums = BlockSums::<V, KEPT>::new(machine);
            for (index, chunk) in chunks[row].iter_mut().enumerate() {
                *chunk = sums.add(index, *chunk, &anchors);
            }
            (at_anchor[row], others[row]) = (sums.at_anchor(), sums.others());
        }
        let at_anchor = if KEPT { nothing } else { Self::joined(at_anchor, V::plus) };
        [at_anchor, Self::joined(others, V::plus)]
    }

    #[inline(always)]
    fn change<V: Vector>(
        &self,
        chunks: &mut [[V; CHUNKS]; ROWS],
        [first, second]: [V; 2],
        change: impl Fn(V, [V; 2]) -> V,
    ) {
        for (chunks, places) in chunks.iter_mut().zip(&OF_ROW) {
            let of_row = [first.permuted(places), second.permuted(places)];
            for chunk in chunks {
                *chunk = change(*chunk, of_row);
            }
        }
    }
}
