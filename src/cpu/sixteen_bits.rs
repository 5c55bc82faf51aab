//! The numbers of 16 bits as f32 and back, by integer arithmetic without a branch: what a compiler makes
//! vectors of, on every machine. Nothing is flushed, ties go to the even neighbour, and there is one NaN.

use half::{bf16, f16};

/// Bits of the fraction that f32 has and f16 lacks.
const SHIFT: u32 = 23 - 10;
/// What the exponent of f32 has more than that of f16, in place.
const REBIAS: u32 = (127 - 15) << 23;
/// The least normal number of f16, and what lies beyond all of them, as bits of f32.
const LEAST_NORMAL: u32 = (127 - 14) << 23;
const BEYOND: u32 = (127 + 16) << 23;

/// Exactly.
#[inline(always)]
pub(crate) fn f16_to_f32(value: f16) -> f32 {
    let bits = u32::from(value.to_bits());
    let (sign, magnitude) = ((bits & 0x8000) << 16, (bits & 0x7fff) << SHIFT);
    let normal = magnitude + REBIAS;
    // A subnormal fraction, put under the implicit 1 of the least normal number, is too large by that.
    let subnormal = f32::from_bits(magnitude + LEAST_NORMAL) - f32::from_bits(LEAST_NORMAL);
    let magnitude = if normal >= BEYOND {
        normal + REBIAS
    } else if normal < LEAST_NORMAL {
        subnormal.to_bits()
    } else {
        normal
    };
    f32::from_bits(sign | magnitude)
}

/// Rounded to nearest.
#[inline(always)]
pub(crate) fn f32_to_f16(value: f32) -> f16 {
    let bits = value.to_bits();
    let (sign, magnitude) = ((bits & 0x8000_0000) >> 16, bits & 0x7fff_ffff);
    let is_odd = magnitude >> SHIFT & 1;
    // Wraps where it is not the one that is chosen.
    let normal = magnitude.wrapping_sub(REBIAS).wrapping_add((1 << (SHIFT - 1)) - 1 + is_odd) >> SHIFT;
    // The unit in the last place of ½ is f16's least subnormal number: the addition rounds.
    let subnormal = (f32::from_bits(magnitude) + 0.5).to_bits().wrapping_sub(0.5f32.to_bits());
    let magnitude = if magnitude >= BEYOND {
        0x7c00
    } else if magnitude < LEAST_NORMAL {
        subnormal
    } else {
        normal
    };
    if value.is_nan() { f16::NAN } else { f16::from_bits((sign | magnitude) as u16) }
}

/// Exactly.
#[inline(always)]
pub(crate) fn bf16_to_f32(value: bf16) -> f32 {
    f32::from_bits(u32::from(value.to_bits()) << 16)
}

/// Rounded to nearest.
#[inline(always)]
pub(crate) fn f32_to_bf16(value: f32) -> bf16 {
    let bits = value.to_bits();
    // No number that is not a NaN is so large that this wraps.
    let rounded = bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16;
    if value.is_nan() { bf16::NAN } else { bf16::from_bits(rounded as u16) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_of_16_bits_is_itself() {
        for bits in 0..=u16::MAX {
            let (half, brain) = (f16::from_bits(bits), bf16::from_bits(bits));
            if half.is_nan() {
                assert!(f16_to_f32(half).is_nan() && f32_to_f16(f16_to_f32(half)).to_bits() == 0x7e00);
            } else {
                assert_eq!(f16_to_f32(half).to_bits(), half.to_f32().to_bits());
                assert_eq!(f32_to_f16(f16_to_f32(half)).to_bits(), bits);
            }
            if brain.is_nan() {
                assert!(bf16_to_f32(brain).is_nan() && f32_to_bf16(bf16_to_f32(brain)).to_bits() == 0x7fc0);
            } else {
                assert_eq!(bf16_to_f32(brain).to_bits(), brain.to_f32().to_bits());
                assert_eq!(f32_to_bf16(bf16_to_f32(brain)).to_bits(), bits);
            }
        }
    }

    #[test]
    fn rounding_is_that_of_the_crate_half() {
        let agree = |bits: u32| {
            let value = f32::from_bits(bits);
            let (half, brain) = (f16::from_f32(value), bf16::from_f32(value));
            assert!(f32_to_f16(value).to_bits() == half.to_bits() || value.is_nan(), "{value:e}");
            assert!(f32_to_bf16(value).to_bits() == brain.to_bits() || value.is_nan(), "{value:e}");
        };
        (0..u32::MAX).step_by(997).for_each(agree);
        // Every tie of f16, and its neighbours on both sides.
        for bits in 0..0x7c00u16 {
            let middle =
                0.5 * (f64::from(f16::from_bits(bits)) + f64::from(f16::from_bits(bits + 1)).min(65_536.0));
            let tie = (middle as f32).to_bits();
            (tie - 1..=tie + 1).for_each(agree);
            (tie - 1..=tie + 1).for_each(|bits| agree(bits | 0x8000_0000));
        }
    }
}
