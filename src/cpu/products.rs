//! Products of a row's Jacobian with a vector, from the row's probabilities: the cotangent pulled back, the
//! tangent pushed forward.
//!
//! A class without probability has no share in ⟨p, v⟩, and gets 0 · anything = 0, whatever stands in the
//! vector there. Sums leave f32 for f64, and f64 for a compensated sum; the last step is taken in f64, in
//! which v − ⟨p, v⟩ of any numbers of f32 exists.

use crate::Op;

use super::compensated::CompensatedSum;
use super::instruction_set::{InstructionSet, Machine, Task};
use super::lanes::sum_of_pairs;
use super::real::Real;
use super::threads;

/// Elements of one row that are worth a task of their own.
const ELEMENTS_PER_PIECE: usize = 1 << 16;

/// Turns `vector` into its product with the Jacobian of `op`, divided by the temperature.
///
/// What takes no part has no probability, and 0 in the vector.
pub(super) fn multiply<T: Real>(
    instructions: InstructionSet,
    op: Op,
    probabilities: &[T],
    vector: &mut [T],
    temperature: f64,
) {
    if vector.len() <= ELEMENTS_PER_PIECE {
        let sum = instructions.run(Sum { op, probabilities, vector }).value();
        return instructions.run(Finish { op, probabilities, vector, sum, temperature });
    }
    let parts = threads::map(vector.len().div_ceil(ELEMENTS_PER_PIECE), |index| {
        let range = index * ELEMENTS_PER_PIECE..vector.len().min((index + 1) * ELEMENTS_PER_PIECE);
        let probabilities = probabilities.get(range.clone()).unwrap_or_default();
        instructions.run(Sum { op, probabilities, vector: &vector[range] })
    });
    let sum = parts.into_iter().fold(CompensatedSum::default(), CompensatedSum::join).value();
    threads::map_pieces(vector, ELEMENTS_PER_PIECE, |index, vector| {
        let probabilities = probabilities.get(index * ELEMENTS_PER_PIECE..).unwrap_or_default();
        instructions.run(Finish { op, probabilities, vector, sum, temperature });
    });
}

/// Σ v for what is pulled back through log-softmax, otherwise ⟨p, v⟩.
struct Sum<'a, T> {
    op: Op,
    probabilities: &'a [T],
    vector: &'a [T],
}

impl<T: Real> Task for Sum<'_, T> {
    type Output = CompensatedSum;

    #[inline(always)]
    fn run<M: Machine>(self, _: M) -> CompensatedSum {
        if self.op == Op::LogSoftmaxVjp {
            sum_of_pairs::<T, _, _>(self.vector, self.vector, |_, v: T| v.widen())
        } else {
            let term = |p: T, v: T| if p == T::ZERO { 0.0 } else { p.widen() * v.widen() };
            sum_of_pairs::<T, _, _>(self.probabilities, self.vector, term)
        }
    }
}

/// The last step for each element, given the sum.
struct Finish<'a, T> {
    op: Op,
    probabilities: &'a [T],
    vector: &'a mut [T],
    sum: f64,
    temperature: f64,
}

impl<T: Real> Task for Finish<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<M: Machine>(self, _: M) {
        let Finish { op, probabilities, vector, sum, temperature } = self;
        match op {
            Op::LogSoftmaxVjp => {
                finish(probabilities, vector, temperature, |p, v| if p == 0.0 { v } else { v - p * sum })
            }
            Op::LogSoftmaxJvp => finish(probabilities, vector, temperature, |_, v| v - sum),
            _ => {
                finish(probabilities, vector, temperature, |p, v| if p == 0.0 { 0.0 } else { p * (v - sum) })
            }
        }
    }
}

#[inline(always)]
fn finish<T: Real>(
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
