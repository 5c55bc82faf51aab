//! log |Σ bⱼ exp(xⱼ)| and the sum's sign, for weights b of any sign.
//!
//! Terms of different signs may cancel, so everything is f64, whatever the logits are, and the sums are
//! compensated. The weights at the maximum are summed apart from the other terms: near 1 the logarithm is
//! that of 1 + (what the sum has beyond 1), which loses nothing where the others are tiny.

use super::compensated::CompensatedSum;
use super::exponential::Anchors;
use super::instruction_set::{Machine, Task};
use super::lanes::{Chunk, LANES, LaneSums};
use super::real::Real;
use super::vectors::Vector;

/// A row of logits and their weights, or some of it. A weight of 0 removes its logit, whatever that is.
#[derive(Clone, Copy)]
pub(super) struct WeightedRow<'a, T> {
    pub(super) logits: &'a [T],
    pub(super) weights: &'a [T],
}

/// The logarithm of a sum's absolute value, and the sum's sign: −1, 0 or 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct SignedLog {
    pub(super) log: f64,
    pub(super) sign: f64,
}

impl SignedLog {
    const NAN: Self = SignedLog { log: f64::NAN, sign: f64::NAN };
    const OF_ZERO: Self = SignedLog { log: f64::NEG_INFINITY, sign: 0.0 };

    /// The logarithm where there is one, NaN for a negative sum.
    pub(super) fn unsigned(self) -> f64 {
        if self.sign < 0.0 { f64::NAN } else { self.log }
    }
}

impl<T: Real> Task for WeightedRow<'_, T> {
    type Output = SignedLog;

    #[inline(always)]
    fn run<M: Machine>(self, machine: M) -> SignedLog {
        let maximum = Measure(self).run(machine);
        if let Some(sum) = maximum.special() {
            return sum;
        }
        let mut sums = WeightedSums::new(maximum);
        Add { row: self, lane: 0, sums: &mut sums }.run(machine);
        sums.logarithm()
    }
}

impl<T: Real> WeightedRow<'_, T> {
    /// A chunk of logits and one of weights, those from `first` on in the lanes from `lane` on: −∞ and 0 for what the
    /// weights remove, and in lanes for which there is nothing.
    #[inline(always)]
    fn chunk(&self, first: usize, lane: usize) -> (Chunk<f64>, Chunk<f64>) {
        let (mut logits, mut weights) = ([T::NEG_INFINITY; LANES], [T::ZERO; LANES]);
        let (logits_left, weights_left) = (&self.logits[first..], &self.weights[first..]);
        match (logits_left.first_chunk(), weights_left.first_chunk()) {
            (Some(all_logits), Some(all_weights)) if lane == 0 => {
                (logits, weights) = (*all_logits, *all_weights)
            }
            _ => {
                logits[lane..].iter_mut().zip(logits_left).for_each(|(place, &x)| *place = x);
                weights[lane..].iter_mut().zip(weights_left).for_each(|(place, &weight)| *place = weight);
            }
        }
        let (mut left, mut counted) = ([f64::NEG_INFINITY; LANES], [0.0; LANES]);
        for lane in 0..LANES {
            counted[lane] = weights[lane].widen();
            left[lane] = if counted[lane] == 0.0 { f64::NEG_INFINITY } else { logits[lane].widen() };
        }
        (left, counted)
    }
}

/// What has to be known of all logits that the weights leave before terms are added up.
#[derive(Debug, Clone, Copy)]
pub(super) struct WeightedMaximum {
    maximum: f64,
    /// Whether there is a NaN.
    undefined: bool,
    /// Whether a weight at +∞ is positive, and whether one is negative.
    at_infinity: [bool; 2],
}

impl WeightedMaximum {
    /// Of no logits at all.
    pub(super) const EMPTY: Self =
        WeightedMaximum { maximum: f64::NEG_INFINITY, undefined: false, at_infinity: [false; 2] };

    pub(super) fn join(self, other: Self) -> Self {
        let [positive, negative] = self.at_infinity;
        WeightedMaximum {
            maximum: self.maximum.max(other.maximum),
            undefined: self.undefined | other.undefined,
            at_infinity: [positive | other.at_infinity[0], negative | other.at_infinity[1]],
        }
    }

    /// The row's sum, where no terms need be added up for it.
    pub(super) fn special(&self) -> Option<SignedLog> {
        match self.at_infinity {
            _ if self.undefined => Some(SignedLog::NAN),
            _ if self.maximum != f64::INFINITY => None,
            // ∞ with the sign of the weights there, if it is one.
            [true, false] => Some(SignedLog { log: f64::INFINITY, sign: 1.0 }),
            [false, true] => Some(SignedLog { log: f64::INFINITY, sign: -1.0 }),
            _ => Some(SignedLog::NAN),
        }
    }
}

/// The greatest of some logits.
pub(super) struct Measure<'a, T>(pub(super) WeightedRow<'a, T>);

impl<T: Real> Task for Measure<'_, T> {
    type Output = WeightedMaximum;

    #[inline(always)]
    fn run<M: Machine>(self, _: M) -> WeightedMaximum {
        let Measure(row) = self;
        let mut maxima = [f64::NEG_INFINITY; LANES];
        let mut undefined = [false; LANES];
        for first in (0..row.logits.len()).step_by(LANES) {
            let (logits, weights) = row.chunk(first, 0);
            for lane in 0..LANES {
                let (x, weight) = (logits[lane], weights[lane]);
                maxima[lane] = if x > maxima[lane] { x } else { maxima[lane] };
                undefined[lane] |= x.is_nan() | weight.is_nan();
            }
        }
        let maximum = maxima.into_iter().fold(f64::NEG_INFINITY, f64::max);
        let mut at_infinity = [false; 2];
        if maximum == f64::INFINITY {
            let pairs = row.logits.iter().zip(row.weights);
            for weight in pairs.filter(|(x, _)| x.widen() == maximum).map(|(_, weight)| weight.widen()) {
                at_infinity = [at_infinity[0] | (weight > 0.0), at_infinity[1] | (weight < 0.0)];
            }
        }
        WeightedMaximum { maximum, undefined: undefined.contains(&true), at_infinity }
    }
}

/// The terms of a row, relative to its maximum: those at the maximum, and the others.
#[derive(Debug, Clone)]
pub(super) struct WeightedSums {
    anchor: f64,
    at_maximum: LaneSums<f64>,
    others: LaneSums<f64>,
}

impl WeightedSums {
    pub(super) fn new(of: WeightedMaximum) -> Self {
        // Where there is nothing but −∞, any finite number makes every term 0.
        let anchor = of.maximum.max(f64::MIN);
        WeightedSums { anchor, at_maximum: LaneSums::new(), others: LaneSums::new() }
    }

    /// What the row comes to, all of whose terms have been added.
    pub(super) fn logarithm(&self) -> SignedLog {
        logarithm(self.anchor, self.at_maximum.join(), self.others.join())
    }
}

/// Adds the terms of some of a row's logits, of which the first belongs to `lane`.
pub(super) struct Add<'a, T> {
    pub(super) row: WeightedRow<'a, T>,
    pub(super) lane: usize,
    pub(super) sums: &'a mut WeightedSums,
}

impl<T: Real> Task for Add<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<M: Machine>(self, machine: M) {
        let Add { row, mut lane, sums } = self;
        // By themselves, so that they stay in registers.
        let WeightedSums { anchor, mut at_maximum, mut others } = sums.clone();
        let anchors = Anchors::new(M::F64::splat(machine, anchor));
        let mut first = 0;
        while first < row.logits.len() {
            let (logits, weights) = row.chunk(first, lane);
            (first, lane) = (first + LANES - lane, 0);
            let terms = anchors.exponentials(M::F64::load(machine, &logits)).numbers();
            for lane in 0..LANES {
                let (x, weight) = (logits[lane], weights[lane]);
                let term = weight * terms[lane];
                at_maximum.add(lane, if x == anchor { weight } else { 0.0 });
                others.add(lane, if x == anchor { 0.0 } else { term });
            }
        }
        *sums = WeightedSums { anchor, at_maximum, others };
    }
}

/// Of (the weights at the maximum + the other terms) · exp(maximum).
fn logarithm(maximum: f64, at_maximum: CompensatedSum, others: CompensatedSum) -> SignedLog {
    let total = at_maximum.join(others).value();
    if total == 0.0 {
        return SignedLog::OF_ZERO;
    }
    if total.is_nan() {
        return SignedLog::NAN;
    }
    let sign = total.signum();
    let log = if (0.5..2.0).contains(&total.abs()) {
        let beyond_one = at_maximum.times_power_of_two(sign).plus(-1.0);
        beyond_one.join(others.times_power_of_two(sign)).value().ln_1p()
    } else {
        total.abs().ln()
    };
    SignedLog { log: maximum + log, sign }
}

#[cfg(test)]
mod tests {
    use super::super::instruction_set::InstructionSet;
    use super::*;

    fn of(logits: &[f64], weights: &[f64]) -> SignedLog {
        InstructionSet::widest().run(WeightedRow { logits, weights })
    }

    fn is_nan(sum: SignedLog) -> bool {
        sum.log.is_nan() && sum.sign.is_nan()
    }

    #[test]
    fn weights_of_one_are_a_plain_log_sum_exp() {
        assert_eq!(of(&[0.0, -20.0], &[1.0, 1.0]).log, (-20f64).exp().ln_1p());
        assert_eq!(of(&[1e300; 2], &[1.0; 2]).log, 1e300);
        assert_eq!(of(&[f64::MIN; 3], &[1.0; 3]).log, f64::MIN);
        let row: Vec<f64> = (0..1000).map(|j| f64::from(j % 37) * 0.3 - 4.0).collect();
        let expected = crate::reference::log_sum_exp(&row);
        assert!((of(&row, &[1.0; 1000]).log / expected - 1.0).abs() < 1e-15);
    }

    #[test]
    fn weights_scale_and_subtract() {
        let sum = of(&[0.0, 1.0, 2.0], &[1.0, -2.0, 3.0]);
        let expected = 1.0 - 2.0 * 1f64.exp() + 3.0 * 2f64.exp();
        assert!((sum.log - expected.ln()).abs() < 1e-15 && sum.sign == 1.0);
        let negative = of(&[0.0, 1.0, 2.0], &[-1.0, 2.0, -3.0]);
        assert!(negative.log == sum.log && negative.sign == -1.0 && negative.unsigned().is_nan());
        // 2 − 1 is 1, whose logarithm is nothing but what the last term adds.
        let barely = of(&[0.0, 0.0, -30.0], &[2.0, -1.0, 1.0]).log;
        assert!((barely / (-30f64).exp().ln_1p() - 1.0).abs() < 1e-15);
        // What cancels in f32 does not, in f64.
        let row = InstructionSet::widest()
            .run(WeightedRow { logits: &[1.0f32, 1.0 - 6e-8], weights: &[1.0, -1.0] });
        let difference = 1.0 - f64::from(1.0f32 - 6e-8);
        assert!((row.log - (1.0 + difference.ln())).abs() < 1e-7, "{row:?}");
    }

    #[test]
    fn a_weight_of_zero_removes_whatever_there_is() {
        for removed in [f64::NAN, f64::INFINITY, 1e300] {
            assert_eq!(of(&[removed, 0.0], &[0.0, 1.0]), SignedLog { log: 0.0, sign: 1.0 });
            assert_eq!(of(&[removed, 0.0], &[-0.0, -1.0]), SignedLog { log: 0.0, sign: -1.0 });
            assert_eq!(of(&[removed; 2], &[0.0; 2]), SignedLog::OF_ZERO);
        }
    }

    #[test]
    fn special_sums_are_those_of_scipy() {
        let infinity = f64::INFINITY;
        assert_eq!(of(&[], &[]), SignedLog::OF_ZERO);
        assert_eq!(of(&[3.0; 2], &[1.0, -1.0]), SignedLog::OF_ZERO);
        assert_eq!(of(&[-infinity; 2], &[1.0, -1.0]), SignedLog::OF_ZERO);
        assert_eq!(of(&[infinity, 0.0], &[2.0, -1.0]), SignedLog { log: infinity, sign: 1.0 });
        assert_eq!(of(&[infinity, 0.0], &[-2.0, 1.0]), SignedLog { log: infinity, sign: -1.0 });
        assert!(of(&[infinity, 0.0], &[-2.0, 1.0]).unsigned().is_nan());
        assert!(is_nan(of(&[infinity; 2], &[2.0, -1.0])));
        assert!(is_nan(of(&[f64::NAN, 0.0], &[1.0; 2])));
        assert!(is_nan(of(&[f64::NAN, infinity], &[1.0; 2])));
        assert!(is_nan(of(&[0.0; 2], &[1.0, f64::NAN])));
        assert_eq!(of(&[0.0; 2], &[1.0, infinity]), SignedLog { log: infinity, sign: 1.0 });
        assert!(is_nan(of(&[0.0; 2], &[-infinity, infinity])));
    }
}
