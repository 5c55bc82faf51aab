//! The arithmetic types, with the constants that their exponential needs.

use std::fmt::Debug;
use std::ops::{Add, Div, Mul, Sub};

use super::compensated::{CompensatedSum, two_sum};
use super::instruction_set::Machine;
use super::vectors::Vector;

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

    /// The least anchors of exponentials that need no origin of their own, and the least above those that do.
    ///
    /// Outside, x − anchor is exact for every x whose exponential has not vanished, lifted or not. Inside, the product
    /// of x in sixteenths with the high part of ln 2 is.
    const LEAST_NEAR_ANCHOR: Self;
    const LEAST_FAR_ANCHOR: Self;
    /// 1.5 units of the first number whose last digit is a sixteenth: added to a small x, it leaves round(16·x) in the
    /// low bits of the sum. Even, so that ties are the same for all that is added to it.
    const ROUND_TO_SIXTEENTHS: Self;
    /// 2^(j/16), less j in the bits that a number of sixteenths is shifted to for its power: added to it there, each
    /// gives the power of two that it counts.
    const POWERS: [Self; 16];
    /// Those, of powers times 2^LIFT.
    const LIFTED_POWERS: [Self; 16];
    /// The least exponent of two that makes a normal number of a power, and the least that makes one of a lifted power; each
    /// with [`ROUND_TO_SIXTEENTHS`](Real::ROUND_TO_SIXTEENTHS) added.
    const LEAST_POWER: Self;
    const LEAST_LIFTED_POWER: Self;
    /// 2^−LIFT. LIFT leaves enough of the range above that a block of lifted terms cannot overflow, and adds
    /// so much below that what still vanishes is nothing, however many terms there are.
    const UNLIFT: f64;
    /// log₂ e.
    const LOG2_E: Self;
    /// −ln 2 to so few bits that its product with every small number of sixteenths is exact.
    const MINUS_LN_2_HIGH: Self;
    /// What [`MINUS_LN_2_HIGH`](Real::MINUS_LN_2_HIGH) lacks of −ln 2.
    const MINUS_LN_2_LOW: Self;

    /// (exp(r) − 1 − r) / r² for |r| ≤ ln 2 / 16, as the polynomial that is nearest to it where exp(r) is to be.
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

/// 2^(j/16).
const SIXTEENTHS: [f64; 16] = [
    1.0,
    1.044_273_782_427_413_8,
    1.090_507_732_665_257_7,
    1.138_788_634_756_691_6,
    1.189_207_115_002_721,
    1.241_857_812_073_484,
    1.296_839_554_651_009_6,
    1.354_255_546_936_892_7,
    std::f64::consts::SQRT_2,
    1.476_826_145_939_499_3,
    1.542_210_825_407_940_7,
    1.610_490_331_949_254_3,
    1.681_792_830_507_429,
    1.756_252_160_373_299_5,
    1.834_008_086_409_342_4,
    1.915_206_561_397_147_4,
];

const fn powers_of_f32(scale: f32) -> [f32; 16] {
    let mut powers = [scale; 16];
    let mut j = 0;
    while j < 16 {
        powers[j] = f32::from_bits((scale * SIXTEENTHS[j] as f32).to_bits() - ((j as u32) << 19));
        j += 1;
    }
    powers
}

const fn powers_of_f64(scale: f64) -> [f64; 16] {
    let mut powers = [scale; 16];
    let mut j = 0;
    while j < 16 {
        powers[j] = f64::from_bits((scale * SIXTEENTHS[j]).to_bits() - ((j as u64) << 48));
        j += 1;
    }
    powers
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

    const LEAST_NEAR_ANCHOR: Self = -157.0;
    const LEAST_FAR_ANCHOR: Self = 314.0;
    const UNLIFT: f64 = 1.0 / (1u128 << 100) as f64;
    const ROUND_TO_SIXTEENTHS: Self = 786_432.0;
    const POWERS: [Self; 16] = powers_of_f32(1.0);
    const LIFTED_POWERS: [Self; 16] = powers_of_f32((1u128 << 100) as f32);
    const LEAST_POWER: Self = Self::ROUND_TO_SIXTEENTHS - 126.0;
    const LEAST_LIFTED_POWER: Self = Self::ROUND_TO_SIXTEENTHS - 226.0;
    const LOG2_E: Self = std::f32::consts::LOG2_E;
    const MINUS_LN_2_HIGH: Self = -1_419.0 / 2_048.0;
    const MINUS_LN_2_LOW: Self = -2.760_868_1e-4;

    // Off by 0.43 u at most.
    #[inline(always)]
    fn exponential_curvature<V: Vector<Number = Self>>(r: V) -> V {
        polynomial!(r; 0.500_064_5, 0.166_669_79)
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

    const LEAST_NEAR_ANCHOR: Self = -1_333.0;
    const LEAST_FAR_ANCHOR: Self = 2_666.0;
    const UNLIFT: f64 = f64::from_bits((1023 - 900) << 52);
    const ROUND_TO_SIXTEENTHS: Self = 422_212_465_065_984.0;
    const POWERS: [Self; 16] = powers_of_f64(1.0);
    const LIFTED_POWERS: [Self; 16] = powers_of_f64(f64::from_bits((1023 + 900) << 52));
    const LEAST_POWER: Self = Self::ROUND_TO_SIXTEENTHS - 1_022.0;
    const LEAST_LIFTED_POWER: Self = Self::ROUND_TO_SIXTEENTHS - 1_922.0;
    const LOG2_E: Self = std::f64::consts::LOG2_E;
    const MINUS_LN_2_HIGH: Self = -2_977_044_471.0 / 4_294_967_296.0;
    const MINUS_LN_2_LOW: Self = -1.908_214_929_270_587_7e-10;

    // Off by 0.03 u at most.
    #[inline(always)]
    fn exponential_curvature<V: Vector<Number = Self>>(r: V) -> V {
        polynomial!(
            r;
            0.500_000_000_000_029_6,
            0.166_666_666_666_638_65,
            0.041_666_666_570_055_744,
            0.008_333_333_369_158_744,
            0.001_388_978_068_843_681,
            1.984_063_128_917_396_7e-4
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
