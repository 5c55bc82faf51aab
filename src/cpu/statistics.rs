//! What a row's logits come to, and what follows from it for each operation.
//!
//! A row that is too long for one thread's cache is taken in stretches. Each has statistics of its own,
//! relative to its own maximum; [`Statistics::join`] makes the row's out of them, in one step and in one
//! order, so that no term is scaled twice and the bits do not depend on who computed which stretch.

use crate::{FullyMasked, Op, Options};

use super::compensated::{CompensatedSum, two_sum};
use super::exponential::{Anchors, exponential_of, lifted_exponential_of};
use super::lanes::{LANES, store};
use super::real::Real;
use super::vectors::Vector;

/// How many logits attain the maximum, and the sum of exp(x − maximum) over all others, in which any NaN shows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sums {
    pub(super) at_maximum: f64,
    pub(super) others: CompensatedSum,
}

/// The maximum of some logits, how many attain it, and the sum of exp(x − maximum) over all others.
///
/// The ones of the maximum are counted, not summed: a logarithm of 1 + (something tiny) is only exact if the
/// 1 has never been added.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Statistics {
    /// NaN where a logit is NaN.
    maximum: f64,
    at_maximum: f64,
    others: CompensatedSum,
}

impl Statistics {
    /// Of no logits at all.
    pub(super) const EMPTY: Self = Statistics {
        maximum: f64::NEG_INFINITY,
        at_maximum: 0.0,
        others: CompensatedSum { high: 0.0, low: 0.0 },
    };

    /// From the greatest number that is no NaN.
    #[inline(always)]
    pub(super) fn new<T: Real>(maximum: T, Sums { at_maximum, others }: Sums) -> Self {
        if others.high.is_nan() {
            return Statistics { maximum: f64::NAN, ..Statistics::EMPTY };
        }
        Statistics { maximum: maximum.widen(), at_maximum, others }
    }

    /// The statistics of a row from those of its stretches.
    pub(super) fn join<'a>(parts: impl IntoIterator<Item = &'a Statistics, IntoIter: Clone>) -> Self {
        let parts = parts.into_iter();
        let maximum = (parts.clone().map(|part| part.maximum))
            .fold(f64::NEG_INFINITY, |maximum, x| if x > maximum || x.is_nan() { x } else { maximum });
        let mut joined = Statistics { maximum, ..Statistics::EMPTY };
        if !maximum.is_finite() {
            return joined;
        }
        for part in parts {
            if part.maximum == maximum {
                joined.at_maximum += part.at_maximum;
                joined.others = joined.others.join(part.others);
            } else {
                let scaled = part.sum() * lifted_exponential_of(part.maximum, maximum) * f64::UNLIFT;
                joined.others = joined.others.plus(scaled);
            }
        }
        joined
    }

    /// The greatest logit: −∞ where there is none, NaN where there is a NaN.
    #[inline(always)]
    pub(super) fn maximum(&self) -> f64 {
        self.maximum
    }

    /// Σ exp(x − maximum), over all logits.
    #[inline(always)]
    pub(super) fn sum(&self) -> f64 {
        sum_of_all(self.at_maximum, self.others)
    }

    /// log Σ exp(x − maximum), exact to the last place of T also where it is tiny.
    #[inline(always)]
    pub(super) fn log_sum<T: Real>(&self) -> f64 {
        T::log_of_one_and(self.at_maximum - 1.0, self.others)
    }

    /// The log-sum-exp of the row.
    #[inline(always)]
    pub(super) fn log_sum_exp<T: Real>(&self) -> T {
        if self.maximum.is_nan() {
            T::NAN
        } else if self.maximum.is_infinite() {
            T::narrow(self.maximum)
        } else {
            T::narrow(self.maximum + self.log_sum::<T>())
        }
    }

    /// How the elements of this stretch's results follow from its logits, given the whole row's statistics.
    #[inline(always)]
    pub(super) fn finish<T: Real>(&self, row: &Statistics, op: Op, options: &Options) -> Finish<T> {
        if row.maximum == f64::NEG_INFINITY && options.fully_masked == FullyMasked::Zero {
            return Finish::Fill(if op == Op::LogSoftmax { T::NEG_INFINITY } else { T::ZERO });
        }
        if !row.maximum.is_finite() {
            return Finish::Fill(T::NAN);
        }
        match op {
            Op::LogSoftmax => {
                Finish::Subtract { maximum: T::narrow(row.maximum), log_sum: T::narrow(row.log_sum::<T>()) }
            }
            _ if self.maximum == row.maximum => Finish::Scale(T::narrow(1.0 / row.sum())),
            _ => {
                let relative = exponential_of(self.maximum, row.maximum);
                Finish::Scale(T::narrow(relative / row.sum()))
            }
        }
    }
}

/// The sum of all terms, given how many are 1 and what the others add up to.
#[inline(always)]
fn sum_of_all(at_maximum: f64, others: CompensatedSum) -> f64 {
    let (high, error) = two_sum(at_maximum, others.high);
    high + (error + others.low)
}

/// Takes the number of the first of some rows, what they have come to, and the logarithm of each one's sum. Not a type of
/// its own for each caller, so that the loops are compiled once.
pub(super) type Take<'a, T> = dyn FnMut(usize, &MeasuredRows<T>, &[f64]) + 'a;

/// Rows whose logarithms are taken together.
pub(super) const ROWS_AT_ONCE: usize = 64;

/// The statistics of up to [`ROWS_AT_ONCE`] rows, laid out so that their logarithms are vectors.
pub(super) struct MeasuredRows<T> {
    // With room for a whole chunk behind the last row.
    maxima: [T; ROWS_AT_ONCE + LANES],
    at_maximum_of_block: [T; ROWS_AT_ONCE + LANES],
    sums_of_block: [T; ROWS_AT_ONCE + LANES],
    at_maximum: [f64; ROWS_AT_ONCE + LANES],
    high: [f64; ROWS_AT_ONCE + LANES],
    low: [f64; ROWS_AT_ONCE + LANES],
}

impl<T: Real> MeasuredRows<T> {
    #[inline(always)]
    pub(super) fn new() -> Self {
        MeasuredRows {
            maxima: [T::ZERO; _],
            at_maximum_of_block: [T::ONE; _],
            sums_of_block: [T::ZERO; _],
            at_maximum: [1.0; _],
            high: [0.0; _],
            low: [0.0; _],
        }
    }

    /// One row's, given the greatest of its numbers that is no NaN.
    #[inline(always)]
    pub(super) fn set(&mut self, row: usize, maximum: T, sums: Sums) {
        self.maxima[row] = maximum;
        self.at_maximum[row] = sums.at_maximum;
        self.high[row] = sums.others.high;
        self.low[row] = sums.others.low;
    }

    /// One row's.
    #[inline(always)]
    pub(super) fn set_statistics(&mut self, row: usize, statistics: &Statistics) {
        let Statistics { maximum, at_maximum, mut others } = *statistics;
        if maximum.is_nan() {
            others.high = f64::NAN;
        }
        self.set(row, T::narrow(maximum), Sums { at_maximum, others });
    }

    /// Those of as many rows of one block as a chunk has lanes, given their lifted sums; of the ones behind them
    /// what will be set later.
    #[inline(always)]
    pub(super) fn set_chunk<V: Vector<Number = T>>(&mut self, row: usize, maxima: V, at_maximum: V, sums: V) {
        store(maxima, LANES, &mut self.maxima[row..]);
        store(at_maximum, LANES, &mut self.at_maximum_of_block[row..]);
        store(sums, LANES, &mut self.sums_of_block[row..]);
    }

    /// To be called when the first rows, so many, have been set as rows of one block.
    #[inline(always)]
    pub(super) fn all_are_set(&mut self, rows: usize) {
        let rows = rows.next_multiple_of(LANES).min(ROWS_AT_ONCE);
        for (high, sum) in self.high[..rows].iter_mut().zip(&self.sums_of_block) {
            *high = sum.widen() * T::UNLIFT;
        }
        for (number, of_block) in self.at_maximum[..rows].iter_mut().zip(&self.at_maximum_of_block) {
            *number = of_block.widen();
        }
    }

    /// Σ exp(x − maximum) of a row that has no NaN.
    #[inline(always)]
    pub(super) fn sum(&self, row: usize) -> f64 {
        sum_of_all(self.at_maximum[row], self.others(row))
    }

    #[inline(always)]
    fn others(&self, row: usize) -> CompensatedSum {
        CompensatedSum { high: self.high[row], low: self.low[row] }
    }

    /// The maximum of each row, NaN passed over.
    #[inline(always)]
    pub(super) fn maxima(&self) -> &[T] {
        &self.maxima
    }

    /// log Σ exp(x − maximum) of each row; NaN for a row with a NaN.
    #[inline(always)]
    pub(super) fn logarithms(&self, rows: usize) -> [f64; ROWS_AT_ONCE] {
        let mut logarithms = [0.0; ROWS_AT_ONCE];
        let rows = rows.next_multiple_of(LANES).min(ROWS_AT_ONCE);
        for (row, place) in logarithms[..rows].iter_mut().enumerate() {
            *place = T::log_of_one_and(self.at_maximum[row] - 1.0, self.others(row));
        }
        logarithms
    }

    /// The log-sum-exp of each row.
    #[inline(always)]
    pub(super) fn log_sum_exps(&self, result: &mut [T]) {
        let logarithms = self.logarithms(result.len());
        for ((place, &maximum), &logarithm) in result.iter_mut().zip(&self.maxima).zip(&logarithms) {
            let sum = maximum.widen() + logarithm;
            let sum = if maximum.widen().is_infinite() { maximum } else { T::narrow(sum) };
            *place = if logarithm.is_nan() { T::NAN } else { sum };
        }
    }

    /// The two numbers that a log-softmax subtracts from each logit of a row; the second is NaN where all of
    /// it is NaN.
    #[inline(always)]
    pub(super) fn subtrahends(&self, rows: usize, options: &Options) -> [[T; ROWS_AT_ONCE + LANES]; 2] {
        let logarithms = self.logarithms(rows);
        let mut subtrahends = [[T::ZERO; ROWS_AT_ONCE + LANES]; 2];
        let [first, second] = &mut subtrahends;
        let masked = if options.fully_masked == FullyMasked::Zero { T::ZERO } else { T::NAN };
        for row in 0..rows.next_multiple_of(LANES).min(ROWS_AT_ONCE) {
            let (maximum, logarithm) = (self.maxima[row], logarithms[row]);
            let special = if maximum == T::NEG_INFINITY && !logarithm.is_nan() { masked } else { T::NAN };
            let regular = maximum.widen().is_finite() && !logarithm.is_nan();
            first[row] = if regular { maximum } else { T::ZERO };
            second[row] = if regular { T::narrow(logarithm) } else { special };
        }
        subtrahends
    }
}

/// What is done at last with a chunk, given two vectors of its row. A type, as a [`Join`](super::vectors::Join) is.
pub(super) trait LastStep<V> {
    fn of(&self, chunk: V, of_row: [V; 2]) -> V;
}

/// Terms become probabilities, given factors.
pub(super) struct Scaled;

impl<V: Vector> LastStep<V> for Scaled {
    #[inline(always)]
    fn of(&self, terms: V, [factors, _]: [V; 2]) -> V {
        terms.times(factors)
    }
}

/// Logits become probabilities, given factors.
pub(super) struct ScaledTerms<V>(pub(super) Anchors<V>);

impl<V: Vector> LastStep<V> for ScaledTerms<V> {
    #[inline(always)]
    fn of(&self, x: V, [factors, _]: [V; 2]) -> V {
        self.0.exponentials(x).times(factors)
    }
}

/// Logits become log-probabilities, given maxima and the logarithms of sums. Never −0, since x = maximum gives +0 first,
/// and where a −0 could come out of zeros of both signs, the logarithm is at least ln 2.
pub(super) struct Subtracted;

impl<V: Vector> LastStep<V> for Subtracted {
    #[inline(always)]
    fn of(&self, x: V, [maxima, log_sums]: [V; 2]) -> V {
        x.minus(maxima).minus(log_sums)
    }
}

/// The same for rows of which some may be NaN throughout: where the logarithm is. One NaN for all, whatever the logits hold.
pub(super) struct SubtractedOrNan;

impl<V: Vector> LastStep<V> for SubtractedOrNan {
    #[inline(always)]
    fn of(&self, x: V, [maxima, log_sums]: [V; 2]) -> V {
        let values = Subtracted.of(x, [maxima, log_sums]);
        x.constant(V::Number::NAN).kept_in(log_sums.lanes_of_nan(), values)
    }
}

/// Probabilities of rows without a distribution become something else, given that, and a 1 for every other row.
pub(super) struct Replaced;

impl<V: Vector> LastStep<V> for Replaced {
    #[inline(always)]
    fn of(&self, probabilities: V, [special, regular]: [V; 2]) -> V {
        probabilities.kept_in(regular.lanes_at_least(special.constant(V::Number::ONE)), special)
    }
}

/// The last step for an element.
#[derive(Debug, Clone, Copy)]
pub(super) enum Finish<T> {
    /// A row without a distribution: this in every place.
    Fill(T),
    /// Softmax: the term exp(x − maximum of the stretch), times this.
    Scale(T),
    /// Log-softmax: (x − maximum) − log_sum.
    Subtract { maximum: T, log_sum: T },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(maximum: f64, at_maximum: f64, others: f64) -> Statistics {
        Statistics::new(maximum, Sums { at_maximum, others: CompensatedSum { high: others, low: 0.0 } })
    }

    #[test]
    fn joined_stretches_are_the_row() {
        let half = of(2.0, 3.0, 0.25);
        assert_eq!(Statistics::join(&[half]), half);
        assert_eq!(Statistics::join(&[half, half]), of(2.0, 6.0, 0.5));
        let lower = Statistics::join(&[of(1.0, 1.0, 0.0), half]);
        assert_eq!((lower.maximum, lower.at_maximum), (2.0, 3.0));
        assert!((lower.others.value() - 0.25 - (-1f64).exp()).abs() < 1e-16);
    }

    #[test]
    fn special_stretches_decide() {
        let masked = of(f64::NEG_INFINITY, 0.0, 0.0);
        let plain = of(2.0, 3.0, 0.25);
        let infinite = of(f64::INFINITY, 1.0, 0.0);
        let nan = of(2.0, 1.0, f64::NAN);
        assert_eq!(Statistics::join(&[masked, plain, masked]), plain);
        assert_eq!(Statistics::join(&[masked, masked]).log_sum_exp::<f32>(), f32::NEG_INFINITY);
        assert_eq!(Statistics::join(&[] as &[Statistics]).log_sum_exp::<f32>(), f32::NEG_INFINITY);
        assert_eq!(Statistics::join(&[plain, infinite, masked]).log_sum_exp::<f32>(), f32::INFINITY);
        for parts in [[nan, infinite], [infinite, nan], [nan, plain], [masked, nan]] {
            assert!(Statistics::join(&parts).log_sum_exp::<f32>().is_nan());
        }
    }
}
