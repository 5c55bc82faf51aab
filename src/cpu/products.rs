//! Products of a row's Jacobian with a vector, from the row's probabilities: the cotangent pulled back, the
//! tangent pushed forward.
//!
//! A class without probability has no share in ⟨p, v⟩, and gets 0 · anything = 0, whatever stands in the
//! vector there. Sums leave f32 for f64, and f64 for a compensated sum; the last step is taken in f64, in
//! which v − ⟨p, v⟩ of any numbers of f32 exists.

use crate::Op;

use super::compensated::CompensatedSum;
use super::instruction_set::{InstructionSet, Machine, Task};
use super::lanes::LaneSums;
use super::real::Real;
use super::threads;

/// Elements of one row that are worth a task of their own, and are added up by themselves.
pub(super) const ELEMENTS_PER_PIECE: usize = 1 << 16;

/// Turns every row of `vectors` into its product with the Jacobian of `op`, divided by the row's temperature. What takes
/// no part has no probability, and 0 in the vector.
pub(super) fn multiply_rows<T: Real>(
    instructions: InstructionSet,
    op: Op,
    classes: usize,
    probabilities: &[T],
    vectors: &mut [T],
    temperature: &dyn Fn(usize) -> f64,
) {
    if classes <= ELEMENTS_PER_PIECE {
        return instructions.run(MultiplyRows { op, classes, probabilities, vectors, temperature });
    }
    let rows = probabilities.chunks_exact(classes).zip(vectors.chunks_exact_mut(classes));
    for (row, (probabilities, vector)) in rows.enumerate() {
        multiply_long_row(instructions, op, probabilities, vector, temperature(row));
    }
}

/// Rows of one piece.
struct MultiplyRows<'a, T> {
    op: Op,
    classes: usize,
    probabilities: &'a [T],
    vectors: &'a mut [T],
    temperature: &'a dyn Fn(usize) -> f64,
}

impl<T: Real> Task for MultiplyRows<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<M: Machine>(self, _: M) {
        let MultiplyRows { op, classes, probabilities, vectors, temperature } = self;
        // Rows without classes have no elements either.
        let classes = classes.max(1);
        let rows = probabilities.chunks_exact(classes).zip(vectors.chunks_exact_mut(classes));
        for (row, (probabilities, vector)) in rows.enumerate() {
            let mut sums = LaneSums::new();
            add(op, probabilities, vector, 0, &mut sums);
            finish_all(op, probabilities, vector, sums.join().value(), temperature(row));
        }
    }
}

fn multiply_long_row<T: Real>(
    instructions: InstructionSet,
    op: Op,
    probabilities: &[T],
    vector: &mut [T],
    temperature: f64,
) {
    let parts = threads::map(vector.len().div_ceil(ELEMENTS_PER_PIECE), &|index| {
        let range = index * ELEMENTS_PER_PIECE..vector.len().min((index + 1) * ELEMENTS_PER_PIECE);
        let probabilities = probabilities.get(range.clone()).unwrap_or_default();
        let mut sums = LaneSums::new();
        instructions.run(Add { op, probabilities, vector: &vector[range], lane: 0, sums: &mut sums });
        sums.join()
    });
    let sum = parts.into_iter().fold(CompensatedSum::default(), CompensatedSum::join).value();
    threads::map_pieces(vector, ELEMENTS_PER_PIECE, &|index, vector| {
        let probabilities = probabilities.get(index * ELEMENTS_PER_PIECE..).unwrap_or_default();
        instructions.run(Finish { op, probabilities, vector, sum, temperature });
    });
}

/// Adds to the sum that a product with the Jacobian of `op` needs: of v for what is pulled back through log-softmax,
/// otherwise ⟨p, v⟩.
pub(super) struct Add<'a, T> {
    pub(super) op: Op,
    pub(super) probabilities: &'a [T],
    pub(super) vector: &'a [T],
    /// That of the first element.
    pub(super) lane: usize,
    pub(super) sums: &'a mut LaneSums<T>,
}

impl<T: Real> Task for Add<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<M: Machine>(self, _: M) {
        let Add { op, probabilities, vector, lane, sums } = self;
        add(op, probabilities, vector, lane, sums);
    }
}

#[inline(always)]
fn add<T: Real>(op: Op, probabilities: &[T], vector: &[T], lane: usize, sums: &mut LaneSums<T>) {
    if op == Op::LogSoftmaxVjp {
        sums.add_pairs(lane, vector, vector, |_, v: T| v.widen());
    } else {
        let term = |p: T, v: T| if p == T::ZERO { 0.0 } else { p.widen() * v.widen() };
        sums.add_pairs(lane, probabilities, vector, term);
    }
}

/// The last step for each element, given the sum.
pub(super) struct Finish<'a, T> {
    pub(super) op: Op,
    pub(super) probabilities: &'a [T],
    pub(super) vector: &'a mut [T],
    pub(super) sum: f64,
    pub(super) temperature: f64,
}

impl<T: Real> Task for Finish<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<M: Machine>(self, _: M) {
        let Finish { op, probabilities, vector, sum, temperature } = self;
        finish_all(op, probabilities, vector, sum, temperature);
    }
}

#[inline(always)]
fn finish_all<T: Real>(op: Op, probabilities: &[T], vector: &mut [T], sum: f64, temperature: f64) {
    match op {
        Op::LogSoftmaxVjp => {
            finish_each(probabilities, vector, temperature, |p, v| if p == 0.0 { v } else { v - p * sum })
        }
        Op::LogSoftmaxJvp => finish_each(probabilities, vector, temperature, |_, v| v - sum),
        _ => {
            finish_each(probabilities, vector, temperature, |p, v| if p == 0.0 { 0.0 } else { p * (v - sum) })
        }
    }
}

#[inline(always)]
fn finish_each<T: Real>(
    probabilities: &[T],
    vector: &mut [T],
    temperature: f64,
    element: impl Fn(f64, f64) -> f64,
) {
    let elements = vector.iter_mut().zip(probabilities);
    if temperature == 1.0 {
        for (v, p) in elements {
            *v = T::narrow(element(p.widen(), v.widen()));
        }
    } else {
        for (v, p) in elements {
            *v = T::narrow(element(p.widen(), v.widen()) / temperature);
        }
    }
}
