//! The arithmetic types, with the constants that their exponential needs.

use std::fmt::Debug;
use std::ops::{Add, Div, Mul, Sub};

use super::compensated::{CompensatedSum, two_sum};
use super::instruction_set::Machine;
use super::vectors::{Arithmetic, Vector};

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
    /// Sixteen of them.
    type Vector<M: Machine>: Vector<Number = Self, Machine = M>;

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
    /// −ln 2 to so few bits that its product with every exponent of the type is exact.
    const MINUS_LN_2_HIGH: Self;
    /// What [`MINUS_LN_2_HIGH`](Real::MINUS_LN_2_HIGH) lacks of −ln 2.
    const MINUS_LN_2_LOW: Self;
    /// 1.5 units of the first number that has no fractional bits, plus the exponent bias: added to a
    /// small x, it leaves round(x) + bias in the low bits of the sum.
    const ROUND_AND_BIAS: Self;
    /// The same, with LIFT added to the bias.
    const ROUND_AND_LIFTED_BIAS: Self;

    /// (exp(r) − 1 − r) / r² for |r| ≤ ½ ln 2, interpolated where the Chebyshev polynomial of the next
    /// degree has its zeros.
    fn exponential_curvature<A: Arithmetic<Number = Self>>(r: A) -> A;

    /// `self · factor + addend`, rounded once.
    fn mul_add(self, factor: Self, addend: Self) -> Self;

    /// 2ⁿ, for the n whose sum with [`ROUND_AND_BIAS`](Real::ROUND_AND_BIAS) `self` is. From anything else it
    /// makes some number.
    fn power_of_two(self) -> Self;

    /// Adds a number that was made of values of this type, in f64, to the running sum `high + low`, which is more
    /// exact than this type by far.
    fn accumulate_wide(term: f64, high: &mut f64, low: &mut f64);

    /// Adds a running sum to another one.
    fn join(high: &mut f64, low: &mut f64, other_high: f64, other_low: f64);

    /// log(1 + t), t ≥ 0 the sum of both arguments, exact to the last place of this type also where it is tiny.
    fn log_of_one_and(t: f64, more: CompensatedSum) -> f64;

    /// Whether it is neither 0, infinite, subnormal nor NaN.
    fn is_normal(self) -> bool;

    /// The same value in f64.
    fn widen(self) -> f64;

    /// The nearest value of this type.
    fn narrow(value: f64) -> Self;
}

/// Horner's rule, the constant term first.
macro_rules! polynomial {
    ($x:ident; $last:expr) => { $x.constant($last) };
    ($x:ident; $first:expr, $($rest:expr),+) => {
        polynomial!($x; $($rest),+).times_plus($x, $x.constant($first))
    };
}

impl Real for f32 {
    type Vector<M: Machine> = M::F32;

    const ZERO: Self = 0.0;
    const ONE: Self = 1.0;
    const NEG_INFINITY: Self = f32::NEG_INFINITY;
    const NAN: Self = f32::from_bits(0x7fc0_0000);

    const EXP_UNDERFLOW: Self = -87.336_54;
    const LIFTED_EXP_UNDERFLOW: Self = -156.651_25;
    const UNLIFT: f64 = 1.0 / (1u128 << 100) as f64;
    const LOG2_E: Self = std::f32::consts::LOG2_E;
    const MINUS_LN_2_HIGH: Self = -45_426.0 / 65_536.0;
    const MINUS_LN_2_LOW: Self = -1.428_606_8e-6;
    const ROUND_AND_BIAS: Self = 12_582_912.0 + 127.0;
    const ROUND_AND_LIFTED_BIAS: Self = 12_582_912.0 + 127.0 + 100.0;

    // Off by 0.17 u at most, so that one more coefficient would not be seen in the result.
    #[inline(always)]
    fn exponential_curvature<A: Arithmetic<Number = Self>>(r: A) -> A {
        polynomial!(r; 0.5, 0.166_665_76, 0.041_666_556, 0.008_363_203, 0.001_392_621_3)
    }

    #[inline(always)]
    fn mul_add(self, factor: Self, addend: Self) -> Self {
        f32::mul_add(self, factor, addend)
    }

    #[inline(always)]
    fn power_of_two(self) -> Self {
        f32::from_bits(self.to_bits() << 23)
    }

    #[inline(always)]
    fn join(high: &mut f64, _low: &mut f64, other_high: f64, _other_low: f64) {
        *high += other_high;
    }

    // f64 has 29 bits to spare: a plain sum of a billion terms stays exact to f32.
    #[inline(always)]
    fn accumulate_wide(term: f64, high: &mut f64, _low: &mut f64) {
        *high += term;
    }

    // Without a branch and in few steps, for many rows at once: off by 2⁻³⁹ of itself at most.
    #[inline(always)]
    fn log_of_one_and(t: f64, more: CompensatedSum) -> f64 {
        let t = t + more.high;
        let sum = 1.0 + t;
        // sum = 2ⁿ·(1 + f), 1 + f from √½ to √2. Where n is 0, f is t, which has the digits that sum has lost.
        let above_root_of_half = sum.to_bits().wrapping_sub(0x3fe6_a09e_667f_3bcd);
        let n = above_root_of_half >> 52;
        let f = f64::from_bits(sum.to_bits().wrapping_sub(n << 52)) - 1.0;
        let f = if n == 0 { t } else { f };
        // atanh(s) = ½ log((1 + s) / (1 − s)), |s| ≤ 0.172, by its series.
        let s = f / (2.0 + f);
        let z = s * s;
        let series = 1.0 / 9.0 + z * (1.0 / 11.0 + z * (1.0 / 13.0));
        let series = 1.0 + z * (1.0 / 3.0 + z * (1.0 / 5.0 + z * (1.0 / 7.0 + z * series)));
        // n in the low bits of 2⁵² is 2⁵² + n.
        let two_to_52 = 4_503_599_627_370_496.0f64;
        let n = f64::from_bits(two_to_52.to_bits() | n) - two_to_52;
        let logarithm = n * std::f64::consts::LN_2 + 2.0 * s * series;
        if t.is_nan() { t } else { logarithm }
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
    type Vector<M: Machine> = M::F64;

    const ZERO: Self = 0.0;
    const ONE: Self = 1.0;
    const NEG_INFINITY: Self = f64::NEG_INFINITY;
    const NAN: Self = f64::from_bits(0x7ff8_0000_0000_0000);

    const EXP_UNDERFLOW: Self = -708.396_418;
    const LIFTED_EXP_UNDERFLOW: Self = -1_332.228_880;
    const UNLIFT: f64 = f64::from_bits((1023 - 900) << 52);
    const LOG2_E: Self = std::f64::consts::LOG2_E;
    const MINUS_LN_2_HIGH: Self = -2_977_044_471.0 / 4_294_967_296.0;
    const MINUS_LN_2_LOW: Self = -1.908_214_929_270_587_7e-10;
    const ROUND_AND_BIAS: Self = 6_755_399_441_055_744.0 + 1023.0;
    const ROUND_AND_LIFTED_BIAS: Self = 6_755_399_441_055_744.0 + 1023.0 + 900.0;

    // Off by 0.15 u at most.
    #[inline(always)]
    fn exponential_curvature<A: Arithmetic<Number = Self>>(r: A) -> A {
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
    fn mul_add(self, factor: Self, addend: Self) -> Self {
        f64::mul_add(self, factor, addend)
    }

    #[inline(always)]
    fn power_of_two(self) -> Self {
        f64::from_bits(self.to_bits() << 52)
    }

    #[inline(always)]
    fn join(high: &mut f64, low: &mut f64, other_high: f64, other_low: f64) {
        let (sum, error) = two_sum(*high, other_high);
        *high = sum;
        *low = (*low + other_low) + error;
    }

    #[inline(always)]
    fn accumulate_wide(term: f64, high: &mut f64, low: &mut f64) {
        let (sum, error) = two_sum(*high, term);
        *high = sum;
        *low += error;
    }

    #[inline(always)]
    fn log_of_one_and(t: f64, more: CompensatedSum) -> f64 {
        let (high, error) = two_sum(t, more.high);
        (high + (error + more.low)).ln_1p()
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
