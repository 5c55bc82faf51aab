//! exp(x − maximum), the one transcendental function that is evaluated for every logit.
//!
//! Rounding x − maximum before the exponential costs |x − maximum| units in the last place: 65 u at a
//! distance of 87, far outside what the crate promises. So the difference is never rounded. Both numbers are
//! taken apart first, into eighths of powers of two and a remainder:
//!
//! ```text
//!     x = n·ln 2 + r,   maximum = m·ln 2 + s,   n and m in eighths, |r| and |s| at most ln 2 / 16
//!     exp(x − maximum) = 2^(n − m) · exp(r − s)
//! ```
//!
//! r, s and r − s come out exact or as good as that, 2^(n − m) is an entry of a table of eight times a power of two, and
//! a polynomial of few terms does for the rest. Numbers so large that n·ln 2 would lose digits are the easy case:
//! what lies close enough to such a maximum to matter has an exact difference from it, which is taken first.

use super::instruction_set::Baseline;
use super::real::Real;
use super::vectors::{LANES, Vector};

/// What exponentials are taken relative to, lane by lane, and all that follows from it alone.
#[derive(Clone, Copy)]
pub(super) struct Anchors<V> {
    /// The maximum, except where there is nothing but −∞. There, any finite number makes every term 0, and still
    /// makes a NaN of a NaN.
    numbers: V,
    /// Whether an anchor is so large that it is subtracted first; that anchor, and 0 in the lanes of all others.
    far: bool,
    origins: V,
    /// s.
    remainders: V,
    /// What leaves n − m in the low bits of a sum with n, in eighths: taken from the sum, it leaves n.
    round: V,
    /// Logits of which the exponential has the bits of 0, and the lifted one. Everything below is taken for them.
    vanished: V,
    vanished_lifted: V,
}

impl<V: Vector> Anchors<V> {
    /// Of the maximum of each lane's row, NaN passed over.
    #[inline(always)]
    pub(super) fn new(maxima: V) -> Self {
        let zero = maxima.constant(V::Number::ZERO);
        let near = maxima.lanes_at_least(maxima.constant(V::Number::LEAST_NEAR_ANCHOR))
            & !maxima.lanes_at_least(maxima.constant(V::Number::LEAST_FAR_ANCHOR));
        let (mut numbers, mut relative, mut origins) = (maxima, maxima, zero);
        let far = near != u16::MAX;
        if far {
            numbers = maxima.zero_where_equal(maxima, maxima.constant(V::Number::NEG_INFINITY));
            relative = numbers.kept_in(near, zero);
            origins = numbers.kept_in(!near, zero);
        }
        let round = maxima.constant(V::Number::ROUND_TO_EIGHTHS);
        let eighths = relative.times_plus(maxima.constant(V::Number::LOG2_E), round).minus(round);
        let remainders = V::Number::remainders(relative, eighths);
        let below = |power| eighths.plus(maxima.constant(power)).times(maxima.constant(V::Number::LN_2));
        Anchors {
            numbers,
            far,
            origins,
            remainders,
            round: round.minus(eighths),
            vanished: below(V::Number::VANISHED_POWER),
            vanished_lifted: below(V::Number::VANISHED_LIFTED_POWER),
        }
    }

    /// The same in all lanes, for one row: of each a single number, so that a machine needs no more than one register for
    /// it.
    #[inline(always)]
    pub(super) fn of_row(machine: V::Machine, maximum: V::Number) -> Self {
        let of_lanes = Self::new(V::splat(machine, maximum));
        let single = |vector: V| vector.constant(vector.first());
        Anchors {
            numbers: single(of_lanes.numbers),
            far: of_lanes.far,
            origins: single(of_lanes.origins),
            remainders: single(of_lanes.remainders),
            round: single(of_lanes.round),
            vanished: single(of_lanes.vanished),
            vanished_lifted: single(of_lanes.vanished_lifted),
        }
    }

    /// Those of the lanes that each place names.
    #[inline(always)]
    pub(super) fn permuted(&self, places: &[u32; LANES]) -> Self {
        Anchors {
            numbers: self.numbers.permuted(places),
            far: self.far,
            origins: if self.far { self.origins.permuted(places) } else { self.origins },
            remainders: self.remainders.permuted(places),
            round: self.round.permuted(places),
            vanished: self.vanished.permuted(places),
            vanished_lifted: self.vanished_lifted.permuted(places),
        }
    }

    /// The anchors themselves.
    #[inline(always)]
    pub(super) fn numbers(&self) -> V {
        self.numbers
    }

    /// exp(x − anchor), within 2.5 u, and for f32 another 0.05 u for each unit of anchor − x, for x ≤ anchor.
    ///
    /// Exactly 1 for x = anchor; where the result would be less than the least normal number, something less than that,
    /// and 0 where that is less than half of it, so also for x = −∞; NaN for a NaN. No step depends on the instruction
    /// set but for whether products and sums are fused.
    #[inline(always)]
    pub(super) fn exponentials(&self, x: V) -> V {
        self.exponential(x, &V::Number::POWERS, self.vanished)
    }

    /// exp(x − anchor) / [`UNLIFT`](Real::UNLIFT): the same, moved up the range of the type.
    ///
    /// A probability may vanish where it is no normal number, but a million that vanish are missed in a
    /// logarithm of (1 + their sum). What sums for logarithms are made of must therefore reach further down.
    #[inline(always)]
    pub(super) fn lifted_exponentials(&self, x: V) -> V {
        self.exponential(x, &V::Number::LIFTED_POWERS, self.vanished_lifted)
    }

    #[inline(always)]
    fn exponential(&self, x: V, powers: &[V::Number; 8], vanished: V) -> V {
        // Constant along a row, so that no one waits for the answer.
        let x = if self.far { x.minus(self.origins) } else { x };
        let x = x.larger(vanished);
        let rounded = x.times_plus(x.constant(V::Number::LOG2_E), self.round);
        let r = V::Number::remainders(x, rounded.minus(self.round)).minus(self.remainders);
        let power = rounded.power_of_two(powers);
        let less_one = V::Number::exponential_curvature(r).times(r).times_plus(r, r);
        less_one.times_plus(power, power)
    }
}

/// Those of sixteen rows, to be looked at one by one.
pub(super) struct AnchorsOfRows<T> {
    far: bool,
    numbers: [T; LANES],
    origins: [T; LANES],
    remainders: [T; LANES],
    round: [T; LANES],
    vanished: [T; LANES],
    vanished_lifted: [T; LANES],
}

impl<T: Real> AnchorsOfRows<T> {
    #[inline(always)]
    pub(super) fn new<V: Vector<Number = T>>(maxima: V) -> Self {
        let of_rows = Anchors::new(maxima);
        AnchorsOfRows {
            far: of_rows.far,
            numbers: of_rows.numbers.numbers(),
            origins: of_rows.origins.numbers(),
            remainders: of_rows.remainders.numbers(),
            round: of_rows.round.numbers(),
            vanished: of_rows.vanished.numbers(),
            vanished_lifted: of_rows.vanished_lifted.numbers(),
        }
    }

    /// The same in all lanes.
    #[inline(always)]
    pub(super) fn of_row<V: Vector<Number = T>>(&self, machine: V::Machine, row: usize) -> Anchors<V> {
        Anchors {
            numbers: V::splat(machine, self.numbers[row]),
            far: self.far,
            origins: V::splat(machine, self.origins[row]),
            remainders: V::splat(machine, self.remainders[row]),
            round: V::splat(machine, self.round[row]),
            vanished: V::splat(machine, self.vanished[row]),
            vanished_lifted: V::splat(machine, self.vanished_lifted[row]),
        }
    }
}

/// exp(x − maximum) of one number.
pub(super) fn exponential_of<T: Real>(x: T, maximum: T) -> T {
    let splat = |number| T::Vector::<Baseline>::splat(Baseline, number);
    Anchors::new(splat(maximum)).exponentials(splat(x)).first()
}

/// exp(x − maximum) / [`UNLIFT`](Real::UNLIFT) of one number.
pub(super) fn lifted_exponential_of<T: Real>(x: T, maximum: T) -> T {
    let splat = |number| T::Vector::<Baseline>::splat(Baseline, number);
    Anchors::new(splat(maximum)).lifted_exponentials(splat(x)).first()
}

#[cfg(test)]
mod tests {
    use super::super::instruction_set::{InstructionSet, Machine, Task};
    use super::*;

    #[test]
    fn exact_where_it_can_be() {
        for x in [0.0f32, -0.0, 1e-45, 0.3, 13.7, -156.9, -157.1, 313.9, 314.1, -3.3e38, 3.3e38] {
            assert_eq!(exponential_of(x, x), 1.0);
            assert_eq!(exponential_of(f64::from(x), f64::from(x)), 1.0);
        }
        assert_eq!(exponential_of(f32::NEG_INFINITY, 5.0), 0.0);
        assert_eq!(exponential_of(-3e38f32, 3e38), 0.0);
        assert_eq!(exponential_of(-1e4f64, 0.0), 0.0);
        assert!(exponential_of(f32::NAN, 5.0).is_nan());
        assert!(exponential_of(f32::from_bits(0x7fff_ffff), 5.0).is_nan());
        assert!(exponential_of(f64::NAN, 5.0).is_nan());
    }

    #[test]
    fn lifted_is_the_same_but_for_the_exponent() {
        for step in 0..1000 {
            let (x, maximum) = (-0.087 * f64::from(step), 0.1);
            let (narrow, narrow_maximum) = (x as f32, maximum as f32);
            // What is not fused rounds a product on the way, which may lie below the normal numbers.
            let lifted = f64::from(lifted_exponential_of(narrow, narrow_maximum)) * f32::UNLIFT;
            let plain = f64::from(exponential_of(narrow, narrow_maximum));
            assert!((lifted - plain).abs() <= plain * f64::from(f32::EPSILON));
            let (lifted, plain) =
                (lifted_exponential_of(x, maximum) * f64::UNLIFT, exponential_of(x, maximum));
            assert!((lifted - plain).abs() <= plain * f64::EPSILON);
        }
        assert!(lifted_exponential_of(-156.6f32, 0.0) >= f32::MIN_POSITIVE);
        assert!(lifted_exponential_of(-156.7f32, 0.0) < f32::MIN_POSITIVE);
        assert_eq!(lifted_exponential_of(-157.4f32, 0.0), 0.0);
        assert!(lifted_exponential_of(-1332.2f64, 0.0) >= f64::MIN_POSITIVE);
        assert!(lifted_exponential_of(-1332.3f64, 0.0) < f64::MIN_POSITIVE);
        assert_eq!(lifted_exponential_of(-1333.0f64, 0.0), 0.0);
    }

    /// The greatest error of the terms of some logits that share a maximum, in u, less what it may grow with their
    /// distances from it.
    struct Error<'a> {
        logits: &'a [f32; LANES],
        maximum: f32,
    }

    impl Task for Error<'_> {
        type Output = f64;

        fn run<M: Machine>(self, machine: M) -> f64 {
            let anchors = Anchors::new(M::F32::splat(machine, self.maximum));
            let terms = anchors.exponentials(M::F32::load(machine, self.logits)).numbers();
            let mut worst: f64 = 0.0;
            for (&x, &term) in self.logits.iter().zip(&terms) {
                let exact = (f64::from(x) - f64::from(self.maximum)).exp();
                let error = (f64::from(term) - exact).abs();
                // What is no normal number may vanish.
                let small = exact < f64::from(f32::MIN_POSITIVE);
                worst = worst.max(if small && term < f32::MIN_POSITIVE {
                    0.0
                } else {
                    error / exact * 2f64.powi(24) - 0.05 * (f64::from(self.maximum) - f64::from(x))
                });
            }
            worst
        }
    }

    #[test]
    fn within_the_bound_for_f32() {
        let mut worst: f64 = 0.0;
        let maxima = [0.0f32, 1.7, 104.3, 156.3, 313.99, 314.01, -156.99, -157.01, -208.9, 40_000.7];
        for instructions in InstructionSet::all() {
            for step in 0..100_000u32 {
                let maximum = maxima[step as usize % maxima.len()];
                let logits = std::array::from_fn(|lane| {
                    maximum - (step * LANES as u32 + lane as u32) as f32 * (87.4 / 1_600_000.0)
                });
                worst = worst.max(instructions.run(Error { logits: &logits, maximum }));
            }
        }
        assert!(worst <= 2.5, "{worst} u");
    }
}
