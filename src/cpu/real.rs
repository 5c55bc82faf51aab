//! The arithmetic types, with the constants that their exponential needs.

use std::fmt::Debug;
use std::ops::{Add, Div, Mul, Sub};

/// A floating-point type that the CPU computes in: `f32` or `f64`.
///
/// Sealed: it lives in a private module, and its constants fit one exponential only.
pub trait Real:
    Copy
    + Default
    + Debug
    + PartialOrd
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Send
    + Sync
    + 'static
{
    /// 0.
    const ZERO: Self;
    /// 1.
    const ONE: Self;
    /// −∞.
    const NEG_INFINITY: Self;
    /// The one NaN that is ever written: quiet, positive, without payload.
    const NAN: Self;

    /// Where exp(x) leaves the normal numbers, towards zero: (least normal exponent)·ln 2, from above.
    const EXP_UNDERFLOW: Self;
    /// Where exp(x)·2^LIFT does.
    const LIFTED_EXP_UNDERFLOW: Self;
    /// 2^−LIFT. LIFT leaves enough of the range above that a block of lifted terms cannot overflow, and adds
    /// so much below that what still vanishes is nothing, however many terms there are.
    const UNLIFT: f64;
    /// log₂ e.
    const LOG2_E: Self;
    /// ln 2 to so few bits that its product with every exponent of the type is exact.
    const LN_2_HIGH: Self;
    /// What [`LN_2_HIGH`](Real::LN_2_HIGH) lacks of ln 2.
    const LN_2_LOW: Self;
    /// 1.5 units of the first number that has no fractional bits, plus the exponent bias: added to a
    /// small x, it leaves round(x) + bias in the low bits of the sum.
    const ROUND_AND_BIAS: Self;
    /// The same, with LIFT added to the bias.
    const ROUND_AND_LIFTED_BIAS: Self;

    /// (exp(r) − 1 − r) / r² for |r| ≤ ½ ln 2, interpolated where the Chebyshev polynomial of the next
    /// degree has its zeros.
    fn exponential_curvature(r: Self) -> Self;

    /// 2ⁿ, for the n whose sum with [`ROUND_AND_BIAS`](Real::ROUND_AND_BIAS) is given. From anything else it
    /// makes some number.
    fn power_of_two(biased: Self) -> Self;

    /// Adds `self` to the running sum `high + low`, which is then more exact than this type by far.
    fn accumulate(self, high: &mut f64, low: &mut f64);

    /// Adds a number that was made of values of this type, in f64.
    fn accumulate_wide(term: f64, high: &mut f64, low: &mut f64);

    /// Whether it is neither 0, infinite, subnormal nor NaN.
    fn is_normal(self) -> bool;

    /// The same value in f64.
    fn widen(self) -> f64;

    /// The nearest value of this type.
    fn narrow(value: f64) -> Self;
}

/// Horner's rule, the constant term first.
macro_rules! polynomial {
    ($x:ident; $last:expr) => { $last };
    ($x:ident; $first:expr, $($rest:expr),+) => { $first + $x * polynomial!($x; $($rest),+) };
}

impl Real for f32 {
    const ZERO: Self = 0.0;
    const ONE: Self = 1.0;
    const NEG_INFINITY: Self = f32::NEG_INFINITY;
    const NAN: Self = f32::from_bits(0x7fc0_0000);

    const EXP_UNDERFLOW: Self = -87.336_54;
    const LIFTED_EXP_UNDERFLOW: Self = -156.651_25;
    const UNLIFT: f64 = 1.0 / (1u128 << 100) as f64;
    const LOG2_E: Self = std::f32::consts::LOG2_E;
    const LN_2_HIGH: Self = 45_426.0 / 65_536.0;
    const LN_2_LOW: Self = 1.428_606_8e-6;
    const ROUND_AND_BIAS: Self = 12_582_912.0 + 127.0;
    const ROUND_AND_LIFTED_BIAS: Self = 12_582_912.0 + 127.0 + 100.0;

    // Off by 0.17 u at most, so that one more coefficient would not be seen in the result.
    #[inline(always)]
    fn exponential_curvature(r: Self) -> Self {
        polynomial!(r; 0.5, 0.166_665_76, 0.041_666_556, 0.008_363_203, 0.001_392_621_3)
    }

    #[inline(always)]
    fn power_of_two(biased: Self) -> Self {
        f32::from_bits(biased.to_bits() << 23)
    }

    // f64 has 29 bits to spare: a plain sum of a billion terms stays exact to f32.
    #[inline(always)]
    fn accumulate(self, high: &mut f64, _low: &mut f64) {
        *high += f64::from(self);
    }

    #[inline(always)]
    fn accumulate_wide(term: f64, high: &mut f64, _low: &mut f64) {
        *high += term;
    }

    #[inline(always)]
    fn is_normal(self) -> bool {
        f32::is_normal(self)
    }

    #[inline(always)]
    fn widen(self) -> f64 {
        f64::from(self)
    }

    #[inline(always)]
    fn narrow(value: f64) -> Self {
        value as f32
    }
}

impl Real for f64 {
    const ZERO: Self = 0.0;
    const ONE: Self = 1.0;
    const NEG_INFINITY: Self = f64::NEG_INFINITY;
    const NAN: Self = f64::from_bits(0x7ff8_0000_0000_0000);

    const EXP_UNDERFLOW: Self = -708.396_418;
    const LIFTED_EXP_UNDERFLOW: Self = -1_332.228_880;
    const UNLIFT: f64 = f64::from_bits((1023 - 900) << 52);
    const LOG2_E: Self = std::f64::consts::LOG2_E;
    const LN_2_HIGH: Self = 2_977_044_471.0 / 4_294_967_296.0;
    const LN_2_LOW: Self = 1.908_214_929_270_587_7e-10;
    const ROUND_AND_BIAS: Self = 6_755_399_441_055_744.0 + 1023.0;
    const ROUND_AND_LIFTED_BIAS: Self = 6_755_399_441_055_744.0 + 1023.0 + 900.0;

    // Off by 0.15 u at most.
    #[inline(always)]
    fn exponential_curvature(r: Self) -> Self {
        polynomial!(
            r;
            0.500_000_000_000_000_1,
            0.166_666_666_666_666_69,
            0.041_666_666_666_623_99,
            0.008_333_333_333_330_051,
            0.001_388_888_891_728_179_4,
            1.984_126_986_310_596_8e-4,
            2.480_152_119_021_773e-5,
            2.755_726_837_868_419_2e-6,
            2.762_013_871_973_399_4e-7,
            2.510_042_415_700_506_7e-8
        )
    }

    #[inline(always)]
    fn power_of_two(biased: Self) -> Self {
        f64::from_bits(biased.to_bits() << 52)
    }

    #[inline(always)]
    fn accumulate(self, high: &mut f64, low: &mut f64) {
        let (sum, error) = super::compensated::two_sum(*high, self);
        *high = sum;
        *low += error;
    }

    #[inline(always)]
    fn accumulate_wide(term: f64, high: &mut f64, low: &mut f64) {
        term.accumulate(high, low);
    }

    #[inline(always)]
    fn is_normal(self) -> bool {
        f64::is_normal(self)
    }

    #[inline(always)]
    fn widen(self) -> f64 {
        self
    }

    #[inline(always)]
    fn narrow(value: f64) -> Self {
        value
    }
}
