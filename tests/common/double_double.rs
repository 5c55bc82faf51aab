//! Arithmetic with twice the digits of f64: the truth that f64 results are held against.
//!
//! A number is the unevaluated sum of two f64, 106 bits in all. The algorithms are those of Dekker (1971)
//! and of Hida, Li and Bailey (2001); the functions are accurate to some 100 bits, which is all that the
//! tests need. `tests/judge.rs` holds them against digits that are known.

use std::ops::{Add, Mul, Neg, Sub};

/// `high + low`, with `|low|` at most half a unit in the last place of `high`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DoubleDouble {
    pub high: f64,
    pub low: f64,
}

const LN_2: DoubleDouble = DoubleDouble { high: std::f64::consts::LN_2, low: 2.319_046_813_846_299_6e-17 };

impl DoubleDouble {
    pub const ZERO: Self = DoubleDouble { high: 0.0, low: 0.0 };
    pub const ONE: Self = DoubleDouble { high: 1.0, low: 0.0 };

    /// a + b, exactly.
    pub fn sum(a: f64, b: f64) -> Self {
        let high = a + b;
        if !high.is_finite() {
            return high.into();
        }
        let from_b = high - a;
        DoubleDouble { high, low: (a - (high - from_b)) + (b - from_b) }
    }

    /// a·b, exactly.
    pub fn product(a: f64, b: f64) -> Self {
        let high = a * b;
        if !high.is_finite() {
            return high.into();
        }
        DoubleDouble { high, low: a.mul_add(b, -high) }
    }

    /// a + b where |a| ≥ |b|, exactly.
    fn ordered_sum(a: f64, b: f64) -> Self {
        let high = a + b;
        if !high.is_finite() {
            return high.into();
        }
        DoubleDouble { high, low: b - (high - a) }
    }

    /// The nearest f64.
    pub fn value(self) -> f64 {
        self.high + self.low
    }

    /// Times 2ⁿ, exactly as long as nothing is subnormal.
    fn scaled(self, n: i32) -> Self {
        // In two steps, since 2⁻¹⁰⁷⁴ can be represented where 2⁻¹⁰²³ can be reached.
        let (half, rest) = (2f64.powi(n / 2), 2f64.powi(n - n / 2));
        DoubleDouble { high: self.high * half * rest, low: self.low * half * rest }
    }

    /// 1 / self.
    pub fn recip(self) -> Self {
        let first = 1.0 / self.high;
        let second = (Self::ONE - self * first.into()).value() / self.high;
        Self::ordered_sum(first, second)
    }

    /// exp(self), and 0 below the range of f64.
    pub fn exp(self) -> Self {
        if self.high < -746.0 {
            return Self::ZERO;
        }
        // r = (self − n·ln 2) / 256, then exp(r) − 1 by its series, squared eight times over.
        let n = (self.high / LN_2.high).round();
        let r = (self - LN_2 * n.into()).scaled(-8);
        let mut term = r;
        let mut minus_one = r;
        for &inverse in &INVERSE[2..] {
            term = term * r * inverse;
            minus_one = minus_one + term;
        }
        for _ in 0..8 {
            minus_one = minus_one.scaled(1) + minus_one * minus_one;
        }
        (minus_one + Self::ONE).scaled(n as i32)
    }

    /// log(1 + self), for self ≥ 0.
    pub fn ln_1p(self) -> Self {
        if self.high < 1e-8 {
            // The series, alternating: four terms leave 10⁻⁴⁰ of the first.
            let quarter = DoubleDouble::from(0.25);
            let third = INVERSE[3];
            return self * (Self::ONE - self * (Self::from(0.5) - self * (third - self * quarter)));
        }
        // One step of Newton's method for exp(y) = 1 + self doubles the digits of f64.
        let y = self.high.ln_1p();
        let sum = self + Self::ONE;
        let negative_exponential = Self::from(-y).exp();
        let excess = sum * negative_exponential - Self::ONE;
        Self::from(y) + excess - (excess * excess).scaled(-1)
    }
}

/// 1/k at place k.
const INVERSE: [DoubleDouble; 11] = {
    let mut inverse = [DoubleDouble::ZERO; 11];
    let mut k = 1;
    while k < 11 {
        let divisor = k as f64;
        let high = 1.0 / divisor;
        // high·divisor − 1 is exact in pieces: high has 53 bits and divisor four, so split high in halves.
        let upper = f64::from_bits(high.to_bits() & !0xff);
        let remainder = (1.0 - upper * divisor) - (high - upper) * divisor;
        inverse[k] = DoubleDouble { high, low: remainder / divisor };
        k += 1;
    }
    inverse
};

impl From<f64> for DoubleDouble {
    fn from(value: f64) -> Self {
        DoubleDouble { high: value, low: 0.0 }
    }
}

impl Add for DoubleDouble {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        let high = Self::sum(self.high, other.high);
        let low = Self::sum(self.low, other.low);
        let joined = Self::ordered_sum(high.high, high.low + low.high);
        Self::ordered_sum(joined.high, joined.low + low.low)
    }
}

impl Neg for DoubleDouble {
    type Output = Self;

    fn neg(self) -> Self {
        DoubleDouble { high: -self.high, low: -self.low }
    }
}

impl Sub for DoubleDouble {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        self + -other
    }
}

impl Mul for DoubleDouble {
    type Output = Self;

    fn mul(self, other: Self) -> Self {
        let product = Self::product(self.high, other.high);
        Self::ordered_sum(product.high, product.low + (self.high * other.low + self.low * other.high))
    }
}
