//! From the type that elements are stored in to the one they are computed in, and back: whole slices, so
//! that the type is looked at once and not for every element.

use half::slice::HalfFloatSliceExt;

use crate::{Element, Elements, ElementsMut};

use super::real::Real;

/// Elements of 16 bits that go through a buffer at a time.
const BUFFERED: usize = 256;

/// Every number of `from` in `to`, exactly unless `T` is narrower.
#[inline]
pub(super) fn load<S: Element, T: Real>(from: &[S], to: &mut [T]) {
    // `half` converts slices of f16 with the machine's own instructions where it has them.
    if let Elements::F16(from) = S::elements(from) {
        let mut buffer = [0.0f32; BUFFERED];
        for (from, to) in from.chunks(BUFFERED).zip(to.chunks_mut(BUFFERED)) {
            from.convert_to_f32_slice(&mut buffer[..from.len()]);
            for (place, x) in to.iter_mut().zip(buffer) {
                *place = T::narrow(x.widen());
            }
        }
        return;
    }
    for (place, x) in to.iter_mut().zip(from) {
        *place = T::narrow(x.computed().widen());
    }
}

/// Every number of `from` rounded to the nearest of `to`'s type, with one NaN for all.
#[inline]
pub(super) fn store<T: Real, R: Element>(from: &[T], to: &mut [R]) {
    let canonical = |x: T| if x.widen().is_nan() { T::NAN } else { x };
    if let ElementsMut::F16(to) = R::elements_mut(to) {
        let mut buffer = [0.0f32; BUFFERED];
        for (from, to) in from.chunks(BUFFERED).zip(to.chunks_mut(BUFFERED)) {
            for (place, &x) in buffer.iter_mut().zip(from) {
                *place = f32::narrow(canonical(x).widen());
            }
            let length = to.len().min(from.len());
            to[..length].convert_from_f32_slice(&buffer[..length]);
        }
        return;
    }
    for (place, &x) in to.iter_mut().zip(from) {
        *place = R::rounded(R::Computed::narrow(canonical(x).widen()));
    }
}

#[cfg(test)]
mod tests {
    use half::{bf16, f16};

    use super::*;

    fn every_number_comes_back<S: Element>(of: impl Fn(u16) -> S, bits: impl Fn(S) -> u16) {
        let all: Vec<S> = (0..=u16::MAX).map(of).collect();
        let (mut singles, mut doubles) = (vec![0.0f32; all.len()], vec![0.0f64; all.len()]);
        load(&all, &mut singles);
        load(&all, &mut doubles);
        let mut back = [vec![S::default(); all.len()], vec![S::default(); all.len()]];
        store(&singles, &mut back[0]);
        store(&doubles, &mut back[1]);
        for (index, &x) in all.iter().enumerate() {
            let (single, double) = (singles[index], doubles[index]);
            if x.computed().widen().is_nan() {
                assert!(single.is_nan() && double.is_nan());
                assert!(bits(back[0][index]) == bits(back[1][index]) && back[0][index] != back[0][index]);
            } else {
                assert!(f64::from(single) == double && double == x.computed().widen());
                assert!(back.iter().all(|back| bits(back[index]) == bits(x)), "{x:?}");
            }
        }
    }

    #[test]
    fn every_16_bit_number_comes_back() {
        every_number_comes_back(f16::from_bits, f16::to_bits);
        every_number_comes_back(bf16::from_bits, bf16::to_bits);
    }

    #[test]
    fn ties_go_to_even_and_subnormals_stay() {
        let mut halves = [f16::ZERO; 5];
        store(&[1.0 + 2f32.powi(-11), 1.0 + 3.0 * 2f32.powi(-11), 2f32.powi(-24), 65_520.0, f32::NAN], &mut halves);
        assert_eq!(halves.map(f16::to_bits), [0x3c00, 0x3c02, 1, 0x7c00, 0x7e00]);
        let mut brains = [bf16::ZERO; 3];
        store(&[1.0 + 2f32.powi(-8), 2f32.powi(-133), f32::from_bits(0xffff_ffff)], &mut brains);
        assert_eq!(brains.map(bf16::to_bits), [0x3f80, 1, 0x7fc0]);
    }
}
