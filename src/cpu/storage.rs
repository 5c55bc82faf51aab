//! From the type that elements are stored in to the one they are computed in, and back.

use crate::Element;

use super::real::Real;

/// Every number of `from` in `to`, exactly unless `T` is narrower.
#[inline(always)]
pub(super) fn load<S: Element, T: Real>(from: &[S], to: &mut [T]) {
    for (place, x) in to.iter_mut().zip(from) {
        // Through f64 and back to f32 is nothing at all, and compiled to it.
        *place = T::narrow(x.computed().widen());
    }
}

/// Every number of `from` rounded to the nearest of `to`'s type, with one NaN for all.
#[inline(always)]
pub(super) fn store<T: Real, R: Element>(from: &[T], to: &mut [R]) {
    for (place, &x) in to.iter_mut().zip(from) {
        let x = if x.widen().is_nan() { T::NAN } else { x };
        *place = R::rounded(R::Computed::narrow(x.widen()));
    }
}
