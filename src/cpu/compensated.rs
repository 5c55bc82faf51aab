//! Sums that keep what rounding would drop.
//!
//! Rust evaluates floating-point arithmetic as it is written, on every target, so the classical error-free
//! transformations hold: Knuth, *The Art of Computer Programming*, volume 2, section 4.2.2, theorem B.

use std::ops::{Add, Sub};

/// a + b rounded, and what the rounding took away, exactly.
#[inline(always)]
pub(super) fn two_sum<T: Copy + Add<Output = T> + Sub<Output = T>>(a: T, b: T) -> (T, T) {
    let sum = a + b;
    let from_b = sum - a;
    let from_a = sum - from_b;
    (sum, (a - from_a) + (b - from_b))
}

/// A sum of f64 whose rounding errors are summed beside it.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct CompensatedSum {
    pub(crate) high: f64,
    pub(crate) low: f64,
}

impl CompensatedSum {
    /// This and one number more.
    #[inline(always)]
    pub(crate) fn plus(self, term: f64) -> Self {
        let (high, error) = two_sum(self.high, term);
        CompensatedSum { high, low: self.low + error }
    }

    /// This and another sum.
    #[inline(always)]
    pub(super) fn join(self, other: Self) -> Self {
        let (high, error) = two_sum(self.high, other.high);
        CompensatedSum { high, low: (self.low + other.low) + error }
    }

    /// This, scaled by a power of two, of any sign.
    #[inline(always)]
    pub(super) fn times_power_of_two(self, power: f64) -> Self {
        CompensatedSum { high: self.high * power, low: self.low * power }
    }

    /// The sum as one number.
    #[inline(always)]
    pub(crate) fn value(self) -> f64 {
        // Beside an infinity stands a NaN for what rounding took away.
        if self.high.is_finite() { self.high + self.low } else { self.high }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_lost() {
        assert_eq!(two_sum(1.0f64, 1e-20), (1.0, 1e-20));
        assert_eq!(two_sum(1e-20f64, 1.0), (1.0, 1e-20));
        let ten_thousand = (0..10_000).fold(CompensatedSum::default(), |sum, _| sum.plus(1e-17)).plus(1.0);
        assert_eq!(ten_thousand.plus(-1.0).value(), 1e-13);
    }
}
