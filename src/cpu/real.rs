//! The arithmetic types, with the constants that their exponential needs.

use std::fmt::Debug;
use std::ops::{Add, Div, Mul, Sub};

use super::compensated::{CompensatedSum, two_sum};
use super::instruction_set::Machine;
use super::vectors::Vector;
use crate::Elements;

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

    /// The elements of an array, if they are of this type.
    fn elements_of(array: Elements<'_>) -> Option<&[Self]>;

    /// 0.
    const ZERO: Self;
    /// 1.
    const ONE: Self;
    /// −∞.
    const NEG_INFINITY: Self;
    /// The one NaN that is ever written: quiet, positive, without payload.
    const NAN: Self;

    /// The least anchors of exponentials that need no origin of their own, and the least above those that do.
    ///
    /// Outside, x − anchor is exact for every x whose exponential has not vanished, lifted or not. Inside, the product
    /// of x in eighths with the high part of ln 2 is.
    const LEAST_NEAR_ANCHOR: Self;
    const LEAST_FAR_ANCHOR: Self;
    /// 1.5 units of the first number whose last digit is an eighth: added to a small x, it leaves round(8·x) in the low
    /// bits of the sum. Even, so that ties are the same for all that is added to it.
    const ROUND_TO_EIGHTHS: Self;
    /// 2^(j/8), less j in the bits that a number of eighths is shifted to for its power: added to it there, each gives
    /// the power of two that it counts.
    const POWERS: [Self; 8];
    /// Those, of powers times 2^LIFT.
    const LIFTED_POWERS: [Self; 8];
    /// The exponents of two of which a power, and a lifted one, has the bits of 0.
    const VANISHED_POWER: Self;
    const VANISHED_LIFTED_POWER: Self;
    /// 2^−LIFT. LIFT leaves enough of the range above that a block of lifted terms cannot overflow, and adds
    /// so much below that what still vanishes is nothing, however many terms there are.
    const UNLIFT: f64;
    /// The number from which on counts are whole numbers, and the bits of one more are one more: what they begin at.
    const NONE_COUNTED: Self;
    /// log₂ e.
    const LOG2_E: Self;
    /// ln 2.
    const LN_2: Self;

    /// x less so many eighths times ln 2, where it is not far from 0.
    fn remainders<V: Vector<Number = Self>>(x: V, eighths: V) -> V;

    /// (exp(r) − 1 − r) / r² for |r| ≤ ln 2 / 8, as the polynomial that is nearest to it where exp(r) is to be.
    fn exponential_curvature<V: Vector<Number = Self>>(r: V) -> V;

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

/// 2^(j/8).
const EIGHTHS: [f64; 8] = [
    1.0,
    1.090_507_732_665_257_7,
    1.189_207_115_002_721,
    1.296_839_554_651_009_6,
    std::f64::consts::SQRT_2,
    1.542_210_825_407_940_7,
    1.681_792_830_507_429,
    1.834_008_086_409_342_4,
];

const fn powers_of_f32(scale: f32) -> [f32; 8] {
    let mut powers = [scale; 8];
    let mut j = 0;
    while j < 8 {
        powers[j] = f32::from_bits((scale * EIGHTHS[j] as f32).to_bits() - ((j as u32) << 20));
        j += 1;
    }
    powers
}

const fn powers_of_f64(scale: f64) -> [f64; 8] {
    let mut powers = [scale; 8];
    let mut j = 0;
    while j < 8 {
        powers[j] = f64::from_bits((scale * EIGHTHS[j]).to_bits() - ((j as u64) << 49));
        j += 1;
    }
    powers
}

/// x less so many eighths times ln 2, given −ln 2 in two parts: the product with the high part, which has few bits, is
/// exact, and so is its difference from a number that close to it.
#[inline(always)]
fn remainders_of_parts<V: Vector>(x: V, eighths: V, high: V::Number, low: V::Number) -> V {
    eighths.times_plus(x.constant(low), eighths.times_plus(x.constant(high), x))
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

    fn elements_of(array: Elements<'_>) -> Option<&[Self]> {
        if let Elements::F32(elements) = array { Some(elements) } else { None }
    }

    const ZERO: Self = 0.0;
    const ONE: Self = 1.0;
    const NEG_INFINITY: Self = f32::NEG_INFINITY;
    const NAN: Self = f32::from_bits(0x7fc0_0000);

    const LEAST_NEAR_ANCHOR: Self = -157.0;
    const LEAST_FAR_ANCHOR: Self = 314.0;
    const UNLIFT: f64 = 1.0 / (1u128 << 100) as f64;
    const ROUND_TO_EIGHTHS: Self = 1_572_864.0;
    const POWERS: [Self; 8] = powers_of_f32(1.0);
    const LIFTED_POWERS: [Self; 8] = powers_of_f32((1u128 << 100) as f32);
    const VANISHED_POWER: Self = -127.0;
    const VANISHED_LIFTED_POWER: Self = -227.0;
    const NONE_COUNTED: Self = 8_388_608.0;
    const LOG2_E: Self = std::f32::consts::LOG2_E;
    const LN_2: Self = std::f32::consts::LN_2;

    // Where the product is not rounded, that of the nearest number to ln 2 is off by 4 u in 126 powers of two, and by half
    // of that in the 63 below which nothing shows in a sum. Where it is, high and low parts have to do.
    #[inline(always)]
    fn remainders<V: Vector<Number = Self>>(x: V, eighths: V) -> V {
        if V::Machine::FUSED {
            return eighths.times_plus(x.constant(-Self::LN_2), x);
        }
        remainders_of_parts(x, eighths, -1_419.0 / 2_048.0, -2.760_868_1e-4)
    }

    // Off by 0.09 u at most.
    #[inline(always)]
    fn exponential_curvature<V: Vector<Number = Self>>(r: V) -> V {
        polynomial!(r; 0.500_000_2, 0.166_721_09, 0.041_641_735)
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

    fn elements_of(array: Elements<'_>) -> Option<&[Self]> {
        if let Elements::F64(elements) = array { Some(elements) } else { None }
    }

    const ZERO: Self = 0.0;
    const ONE: Self = 1.0;
    const NEG_INFINITY: Self = f64::NEG_INFINITY;
    const NAN: Self = f64::from_bits(0x7ff8_0000_0000_0000);

    const LEAST_NEAR_ANCHOR: Self = -1_333.0;
    const LEAST_FAR_ANCHOR: Self = 2_666.0;
    const UNLIFT: f64 = f64::from_bits((1023 - 900) << 52);
    const ROUND_TO_EIGHTHS: Self = 844_424_930_131_968.0;
    const POWERS: [Self; 8] = powers_of_f64(1.0);
    const LIFTED_POWERS: [Self; 8] = powers_of_f64(f64::from_bits((1023 + 900) << 52));
    const VANISHED_POWER: Self = -1_023.0;
    const VANISHED_LIFTED_POWER: Self = -1_923.0;
    const NONE_COUNTED: Self = 4_503_599_627_370_496.0;
    const LOG2_E: Self = std::f64::consts::LOG2_E;
    const LN_2: Self = std::f64::consts::LN_2;

    #[inline(always)]
    fn remainders<V: Vector<Number = Self>>(x: V, eighths: V) -> V {
        remainders_of_parts(x, eighths, -2_977_044_471.0 / 4_294_967_296.0, -1.908_214_929_270_587_7e-10)
    }

    // Off by 0.04 u at most.
    #[inline(always)]
    fn exponential_curvature<V: Vector<Number = Self>>(r: V) -> V {
        polynomial!(
            r;
            0.500_000_000_000_000_7,
            0.166_666_666_666_959_3,
            0.041_666_666_666_108_22,
            0.008_333_333_130_155_45,
            0.001_388_889_010_497_912_4,
            1.984_551_432_214_912_8e-4,
            2.479_568_920_081_404e-5
        )
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
