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

/// Rows of probabilities and the vectors that their Jacobians are multiplied with. What takes no part has no probability,
/// and 0 in the vector.
#[derive(Clone, Copy)]
pub(super) struct Factors<'a, T> {
    pub(super) op: Op,
    pub(super) classes: usize,
    pub(super) probabilities: &'a [T],
    pub(super) vectors: &'a [T],
}

/// The product of each vector with the Jacobian of `op`, divided by its row's temperature.
pub(super) fn multiply_rows<T: Real>(
    instructions: InstructionSet,
    factors: Factors<'_, T>,
    temperature: &dyn Fn(usize) -> f64,
    products: &mut [T],
) {
    let Factors { op, classes, probabilities, vectors } = factors;
    if classes <= ELEMENTS_PER_PIECE {
        return instructions.run(MultiplyRows { factors, temperature, products });
    }
    let rows = probabilities.chunks_exact(classes).zip(vectors.chunks_exact(classes));
    for (row, ((p, v), products)) in rows.zip(products.chunks_exact_mut(classes)).enumerate() {
        multiply_long_row(instructions, op, [p, v], temperature(row), products);
    }
}

/// Rows of one piece.
struct MultiplyRows<'a, T> {
    factors: Factors<'a, T>,
    temperature: &'a dyn Fn(usize) -> f64,
    products: &'a mut [T],
}

impl<T: Real> Task for MultiplyRows<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<M: Machine>(self, _: M) {
        let MultiplyRows { factors: Factors { op, classes, probabilities, vectors }, temperature, products } =
            self;
        // Rows without classes have no elements either.
        let classes = classes.max(1);
        let rows = probabilities.chunks_exact(classes).zip(vectors.chunks_exact(classes));
        for (row, ((p, v), products)) in rows.zip(products.chunks_exact_mut(classes)).enumerate() {
            let mut sums = LaneSums::new();
            add(op, p, v, 0, &mut sums);
            finish_all(op, [p, v], sums.join().value(), temperature(row), products);
        }
    }
}

/// Given a row's probabilities and vector.
fn multiply_long_row<T: Real>(
    instructions: InstructionSet,
    op: Op,
    factors: [&[T]; 2],
    temperature: f64,
    products: &mut [T],
) {
    let piece = |index: usize| {
        let first = index * ELEMENTS_PER_PIECE;
        factors.map(|row| &row[first.min(row.len())..row.len().min(first + ELEMENTS_PER_PIECE)])
    };
    let parts = threads::map(products.len().div_ceil(ELEMENTS_PER_PIECE), &|index| {
        let [probabilities, vector] = piece(index);
        let mut sums = LaneSums::new();
        instructions.run(Add { op, probabilities, vector, lane: 0, sums: &mut sums });
        sums.join()
    });
    let sum = parts.into_iter().fold(CompensatedSum::default(), CompensatedSum::join).value();
    threads::map_pieces(products, ELEMENTS_PER_PIECE, &|index, products| {
        let [probabilities, vector] = piece(index);
        instructions.run(Finish { op, probabilities, vector, sum, temperature, products });
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
    pub(super) vector: &'a [T],
    pub(super) sum: f64,
    pub(super) temperature: f64,
    pub(super) products: &'a mut [T],
}

impl<T: Real> Task for Finish<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<M: Machine>(self, _: M) {
        let Finish { op, probabilities, vector, sum, temperature, products } = self;
        finish_all(op, [probabilities, vector], sum, temperature, products);
    }
}

#[inline(always)]
fn finish_all<T: Real>(op: Op, factors: [&[T]; 2], sum: f64, temperature: f64, products: &mut [T]) {
    match op {
        Op::LogSoftmaxVjp => {
            finish_each(factors, temperature, products, |p, v| if p == 0.0 { v } else { v - p * sum })
        }
        Op::LogSoftmaxJvp => finish_each(factors, temperature, products, |_, v| v - sum),
        _ => finish_each(factors, temperature, products, |p, v| if p == 0.0 { 0.0 } else { p * (v - sum) }),
    }
}

#[inline(always)]
fn finish_each<T: Real>(
    [probabilities, vector]: [&[T]; 2],
    temperature: f64,
    products: &mut [T],
    element: impl Fn(f64, f64) -> f64,
) {
    let elements = products.iter_mut().zip(probabilities).zip(vector);
    if temperature == 1.0 {
        for ((product, p), v) in elements {
            *product = T::narrow(element(p.widen(), v.widen()));
        }
    } else {
        for ((product, p), v) in elements {
            *product = T::narrow(element(p.widen(), v.widen()) / temperature);
        }
    }
}
