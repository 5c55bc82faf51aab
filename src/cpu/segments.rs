//! Rows of few classes: several in one chunk.
//!
//! A row has a *segment* of the lanes, the next power of two of its classes; one permutation brings the rows of a
//! chunk to their segments, one brings them back. The maximum and the sum of a row meet in all of its lanes.

use super::exponential::Anchors;
use super::lanes::{BlockSums, LANES, chunk_of, store};
use super::real::Real;
use super::short::Bundle;
use super::statistics::LastStep;
use super::vectors::{Larger, Vector};

/// How rows of so many classes lie in the lanes of a chunk.
pub(super) struct Segments {
    classes: usize,
    /// Lanes that a row has.
    lanes: usize,
    /// Where each lane's element lies, counted from the chunk's first, and a bit for each that has one.
    elements: [u32; LANES],
    with_element: u16,
    /// In which lane each element is.
    lanes_of_elements: [u32; LANES],
    row_of_lane: [u32; LANES],
    first_lanes: [u32; LANES],
}

impl Segments {
    pub(super) fn new(classes: usize) -> Self {
        let lanes = classes.next_power_of_two().min(LANES);
        let classes = classes.clamp(1, lanes);
        let of_lanes = |of: &dyn Fn(usize) -> usize| std::array::from_fn(|lane| of(lane) as u32);
        Segments {
            classes,
            lanes,
            elements: of_lanes(&|lane| lane / lanes * classes + (lane % lanes).min(classes - 1)),
            with_element: (0..LANES).filter(|lane| lane % lanes < classes).map(|lane| 1 << lane).sum(),
            lanes_of_elements: of_lanes(&|element| (element / classes * lanes + element % classes) % LANES),
            row_of_lane: of_lanes(&|lane| lane / lanes),
            first_lanes: of_lanes(&|row| row * lanes % LANES),
        }
    }

    fn is_dense(&self) -> bool {
        self.classes == self.lanes
    }
}

impl Bundle for Segments {
    type Chunks<V: Vector> = V;

    fn classes(&self) -> usize {
        self.classes
    }

    fn rows(&self) -> usize {
        LANES / self.lanes
    }

    fn row_of_lane(&self) -> &[u32; LANES] {
        &self.row_of_lane
    }

    fn first_lanes(&self) -> &[u32; LANES] {
        &self.first_lanes
    }

    #[inline(always)]
    fn chunks<V: Vector>(&self, machine: V::Machine) -> V {
        V::splat(machine, V::Number::ZERO)
    }

    #[inline(always)]
    fn load<V: Vector>(&self, machine: V::Machine, logits: &[V::Number], chunk: &mut V) {
        *chunk = chunk_of(machine, logits, LANES);
        if !self.is_dense() {
            let nothing = chunk.constant(V::Number::NEG_INFINITY);
            *chunk = chunk.permuted(&self.elements).kept_in(self.with_element, nothing);
        }
    }

    #[inline(always)]
    fn store<V: Vector>(&self, chunk: &V, result: &mut [V::Number]) {
        let chunk = if self.is_dense() { *chunk } else { chunk.permuted(&self.lanes_of_elements) };
        store(chunk, LANES, result);
    }

    #[inline(always)]
    fn maxima<V: Vector>(&self, chunk: &V) -> V {
        chunk.across(self.lanes, Larger)
    }

    #[inline(always)]
    fn terms<V: Vector, const KEPT: bool>(
        &self,
        machine: V::Machine,
        chunk: &mut V,
        anchors: &Anchors<V>,
    ) -> [V; 2] {
        let mut sums = BlockSums::<V, KEPT>::new(machine);
        let term = sums.add(0, *chunk, anchors);
        if KEPT {
            *chunk = term;
        }
        sums.across(self.lanes)
    }

    #[inline(always)]
    fn finish<V: Vector>(&self, chunk: &mut V, of_rows: [V; 2], step: impl LastStep<V>) {
        *chunk = step.of(*chunk, of_rows);
    }
}
