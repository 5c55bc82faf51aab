//! exp(x − maximum), the one transcendental function that is evaluated for every logit.
//!
//! Rounding x − maximum before the exponential costs |x − maximum| units in the last place: 65 u at a
//! distance of 87, far outside what the crate promises. Here the difference is kept as the rounded one and
//! its exact error, and the error joins in once the multiple of ln 2 has been taken away.

use super::instruction_set::Machine;
use super::real::Real;
use super::vectors::{Arithmetic, One};

/// exp(x − maximum), within 2 u, for x ≤ maximum < ∞.
///
/// Exactly 1 for x = maximum; 0 where the result would be less than the least normal number, so also for
/// x = −∞; NaN for a NaN. The arithmetic has no branch, and no step that depends on the instruction set but for
/// whether products and sums are fused.
#[inline(always)]
pub(super) fn exponentials<A: Arithmetic>(x: A, maximum: A) -> A {
    exponential(x, maximum, A::Number::EXP_UNDERFLOW, A::Number::ROUND_AND_BIAS)
}

/// exp(x − maximum) / [`UNLIFT`](Real::UNLIFT): the same, moved up the range of the type.
///
/// A probability may vanish where it is no normal number, but a million that vanish are missed in a
/// logarithm of (1 + their sum). What sums for logarithms are made of must therefore reach further down.
#[inline(always)]
pub(super) fn lifted_exponentials<A: Arithmetic>(x: A, maximum: A) -> A {
    exponential(x, maximum, A::Number::LIFTED_EXP_UNDERFLOW, A::Number::ROUND_AND_LIFTED_BIAS)
}

/// [`exponentials`] of one number.
#[inline(always)]
pub(super) fn exp_of_difference<T: Real, M: Machine>(machine: M, x: T, maximum: T) -> T {
    exponentials(One(x, machine), One(maximum, machine)).0
}

/// [`lifted_exponentials`] of one number.
#[inline(always)]
pub(super) fn lifted_exp_of_difference<T: Real, M: Machine>(machine: M, x: T, maximum: T) -> T {
    lifted_exponentials(One(x, machine), One(maximum, machine)).0
}

#[inline(always)]
fn exponential<A: Arithmetic>(x: A, maximum: A, underflow: A::Number, round_and_bias: A::Number) -> A {
    let (underflow, round_and_bias) = (x.constant(underflow), x.constant(round_and_bias));
    // The difference rounded, and what the rounding took away, exactly (Knuth, as in `compensated.rs`).
    let rounded = x.minus(maximum);
    let minus_from_maximum = rounded.minus(x);
    let from_x = rounded.minus(minus_from_maximum);
    let error = x.minus(from_x).minus(maximum.plus(minus_from_maximum));
    // Keeps the power of two in range. What has vanished is replaced at the end, whatever became of it (from
    // −∞, the error above is NaN).
    let difference = rounded.at_least(underflow);

    let biased = difference.times_plus(x.constant(A::Number::LOG2_E), round_and_bias);
    let n = biased.minus(round_and_bias);
    // n·LN_2_HIGH is exact, and so is its difference from a number that close to it.
    let high = n.times_plus(x.constant(A::Number::MINUS_LN_2_HIGH), difference);
    let r = high.plus(n.times_plus(x.constant(A::Number::MINUS_LN_2_LOW), error));
    let one = x.constant(A::Number::ONE);
    let exponential = A::Number::exponential_curvature(r).times_plus(r, one).times_plus(r, one);
    exponential.times(biased.power_of_two()).zero_where_less(rounded, underflow)
}

#[cfg(test)]
mod tests {
    use super::super::instruction_set::Baseline;
    use super::*;

    #[test]
    fn exact_where_it_can_be() {
        for x in [0.0f32, -0.0, 1e-45, 0.3, -3.3e38, 3.3e38] {
            assert_eq!(exp_of_difference(Baseline, x, x), 1.0);
        }
        assert_eq!(exp_of_difference(Baseline, f32::NEG_INFINITY, 5.0), 0.0);
        assert_eq!(exp_of_difference(Baseline, -3e38f32, 3e38), 0.0);
        assert_eq!(exp_of_difference(Baseline, -1e4f64, 0.0), 0.0);
        assert!(exp_of_difference(Baseline, f32::NAN, 5.0).is_nan());
        assert!(exp_of_difference(Baseline, f64::NAN, 5.0).is_nan());
    }

    #[test]
    fn lifted_is_the_same_but_for_the_exponent() {
        for step in 0..1000 {
            let (x, maximum) = (-0.087 * f64::from(step), 0.1);
            let (narrow, narrow_maximum) = (x as f32, maximum as f32);
            let lifted = f64::from(lifted_exp_of_difference(Baseline, narrow, narrow_maximum)) * f32::UNLIFT;
            assert_eq!(lifted, f64::from(exp_of_difference(Baseline, narrow, narrow_maximum)));
            assert_eq!(
                lifted_exp_of_difference(Baseline, x, maximum) * f64::UNLIFT,
                exp_of_difference(Baseline, x, maximum)
            );
        }
        assert!(lifted_exp_of_difference(Baseline, -156.0f32, 0.0) >= f32::MIN_POSITIVE);
        assert_eq!(lifted_exp_of_difference(Baseline, -157.0f32, 0.0), 0.0);
        assert!(lifted_exp_of_difference(Baseline, -1332.0f64, 0.0) >= f64::MIN_POSITIVE);
        assert_eq!(lifted_exp_of_difference(Baseline, -1333.0f64, 0.0), 0.0);
    }

    #[test]
    fn within_two_units_for_f32() {
        let mut worst: f64 = 0.0;
        for step in 0..2_000_000u32 {
            let below = step as f32 * 4.367e-5;
            let maximum = [0.0f32, 1.7, 104.3, -208.9, 40_000.7][step as usize % 5];
            let x = maximum - below;
            let exact = (f64::from(x) - f64::from(maximum)).exp();
            if exact >= f64::from(f32::MIN_POSITIVE) {
                let error = (f64::from(exp_of_difference(Baseline, x, maximum)) - exact).abs() / exact;
                worst = worst.max(error * 2f64.powi(24));
            }
        }
        assert!(worst <= 2.0, "{worst} u");
    }
}
