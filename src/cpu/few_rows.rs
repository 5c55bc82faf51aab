//! Rows of one to four chunks: a few of them at once, as many as the registers hold.
//!
//! What a row's chunks come to is joined lane by lane first. Then two rows at a time share the steps that join the
//! lanes: the lower half of one row's lanes and the upper half of the other's are where both are joined. At last
//! each row has as many lanes of one chunk as all others.

use super::exponential::Anchors;
use super::lanes::{BlockSums, LANES};
use super::real::Real;
use super::short::Bundle;
use super::statistics::LastStep;
use super::vectors::{Join, Larger, Plus, Vector};

/// Two or four rows of so many chunks, of which the last may not be full.
pub(super) struct FewRows<const ROWS: usize, const CHUNKS: usize> {
    classes: usize,
}

impl<const ROWS: usize, const CHUNKS: usize> FewRows<ROWS, CHUNKS> {
    /// The lanes that each row has in the end.
    const LANES_OF_ROW: usize = LANES / ROWS;

    /// The first lane of each row, in all lanes.
    const OF_ROW: [[u32; LANES]; ROWS] = {
        let mut places = [[0; LANES]; ROWS];
        let mut row = 0;
        while row < ROWS {
            places[row] = [(row * Self::LANES_OF_ROW) as u32; LANES];
            row += 1;
        }
        places
    };

    const ROW_OF_LANE: [u32; LANES] = {
        let (mut rows, mut lane) = ([0; LANES], 0);
        while lane < LANES {
            rows[lane] = (lane / Self::LANES_OF_ROW) as u32;
            lane += 1;
        }
        rows
    };

    const FIRST_LANES: [u32; LANES] = {
        let (mut lanes, mut row) = ([0; LANES], 0);
        while row < ROWS {
            lanes[row] = (row * Self::LANES_OF_ROW) as u32;
            row += 1;
        }
        lanes
    };

    pub(super) fn new(classes: usize) -> Self {
        const { assert!((ROWS == 2 || ROWS == 4) && ROWS * CHUNKS * LANES <= MOST) };
        FewRows { classes }
    }

    /// How far whole chunks reach from the first row's beginning.
    #[inline(always)]
    fn reach(&self) -> usize {
        (ROWS - 1) * self.classes + CHUNKS * LANES
    }

    #[inline(always)]
    fn lanes_of_last_chunk(&self) -> u16 {
        u16::MAX >> (CHUNKS * LANES - self.classes)
    }

    /// What the lanes of each row come to, in its lanes of the one chunk. The distances 8, 4, 2 and 1, as everywhere.
    #[inline(always)]
    fn joined<V: Vector>(of_rows: [V; ROWS], join: impl Join) -> V {
        let halves = if ROWS == 2 {
            joined_halves::<V, 8>(of_rows[0], of_rows[1], join)
        } else {
            let even = joined_halves::<V, 8>(of_rows[0], of_rows[2], join);
            let odd = joined_halves::<V, 8>(of_rows[1], of_rows[3], join);
            joined_halves::<V, 4>(even, odd, join)
        };
        halves.across(Self::LANES_OF_ROW, join)
    }
}

/// Numbers in the chunks of all rows, at most.
const MOST: usize = 8 * LANES;

/// The last logits of all, with nothing behind them.
#[cold]
fn filled_up<T: Real>(logits: &[T]) -> [T; MOST] {
    let mut filled = [T::NEG_INFINITY; MOST];
    filled.iter_mut().zip(logits).for_each(|(place, &x)| *place = x);
    filled
}

/// Joins each lane of the upper half of so many to the one half of them below: of one chunk in the lower, of the other
/// in the upper half.
#[inline(always)]
fn joined_halves<V: Vector, const DISTANCE: usize>(one: V, other: V, join: impl Join) -> V {
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
    join.of(one.kept_in(lower, other.permuted(&places)), one.permuted(&places).kept_in(lower, other))
}

impl<const ROWS: usize, const CHUNKS: usize> Bundle for FewRows<ROWS, CHUNKS> {
    type Chunks<V: Vector> = [[V; CHUNKS]; ROWS];

    fn classes(&self) -> usize {
        self.classes
    }

    fn rows(&self) -> usize {
        ROWS
    }

    fn row_of_lane(&self) -> &[u32; LANES] {
        &Self::ROW_OF_LANE
    }

    fn first_lanes(&self) -> &[u32; LANES] {
        &Self::FIRST_LANES
    }

    #[inline(always)]
    fn chunks<V: Vector>(&self, machine: V::Machine) -> [[V; CHUNKS]; ROWS] {
        [[V::splat(machine, V::Number::ZERO); CHUNKS]; ROWS]
    }

    #[inline(always)]
    fn load<V: Vector>(&self, machine: V::Machine, logits: &[V::Number], chunks: &mut [[V; CHUNKS]; ROWS]) {
        let filled;
        let logits = if logits.len() >= self.reach() {
            logits
        } else {
            filled = filled_up(logits);
            &filled
        };
        let nothing = V::splat(machine, V::Number::NEG_INFINITY);
        for (row, chunks) in chunks.iter_mut().enumerate() {
            for (index, chunk) in chunks.iter_mut().enumerate() {
                let Some(logits) = logits[row * self.classes + index * LANES..].first_chunk() else { break };
                *chunk = V::load(machine, logits);
            }
            chunks[CHUNKS - 1] = chunks[CHUNKS - 1].kept_in(self.lanes_of_last_chunk(), nothing);
        }
    }

    #[inline(always)]
    fn store<V: Vector>(&self, chunks: &[[V; CHUNKS]; ROWS], result: &mut [V::Number]) {
        let mut all = [V::Number::ZERO; MOST];
        let is_whole = result.len() >= self.reach();
        let places = if is_whole { &mut *result } else { &mut all };
        for (row, chunks) in chunks.iter().enumerate() {
            for (index, &chunk) in chunks.iter().enumerate() {
                // What it writes behind its row belongs to the next one, which is written later.
                let Some(places) = places[row * self.classes + index * LANES..].first_chunk_mut() else {
                    break;
                };
                chunk.store(places);
            }
        }
        if !is_whole {
            result.iter_mut().zip(all).take(ROWS * self.classes).for_each(|(place, value)| *place = value);
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
        Self::joined(maxima, Larger)
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
            let anchors = anchors.permuted(&Self::OF_ROW[row]);
            let mut sums = BlockSums::<V, KEPT>::new(machine);
            for (index, chunk) in chunks[row].iter_mut().enumerate() {
                let term = sums.add(index, *chunk, &anchors);
                if KEPT {
                    *chunk = term;
                }
            }
            (at_anchor[row], others[row]) = (sums.at_anchor(), sums.others());
        }
        let at_anchor = if KEPT { nothing } else { Self::joined(at_anchor, Plus) };
        [at_anchor, Self::joined(others, Plus)]
    }

    #[inline(always)]
    fn finish<V: Vector>(
        &self,
        chunks: &mut [[V; CHUNKS]; ROWS],
        [first, second]: [V; 2],
        step: impl LastStep<V>,
    ) {
        for (chunks, places) in chunks.iter_mut().zip(&Self::OF_ROW) {
            let of_row = [first.permuted(places), second.permuted(places)];
            for chunk in chunks {
                *chunk = step.of(*chunk, of_row);
            }
        }
    }
}
