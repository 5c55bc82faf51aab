//! What becomes of a logit before its softmax: temperature, masks, and which classes a row has at all.
//!
//! An [`Adjustment`] is what a caller says, over an array of some shape; a [`Resolved`] one is the same over
//! the rows of an [`Arrangement`], checked, for the devices. Masks stay as small as they were given: they
//! are broadcast by strides of 0.

use std::ops::Range;

use crate::arrangement::Arrangement;
use crate::cpu::Real;
use crate::{Dtype, Element, Elements, Error, Result};

/// What is done to the logits before anything is computed of them: z = x / T + a, for the classes that take
/// part.
///
/// Where several restrict a row, a class takes part if all let it. A class that does not take part has no
/// influence whatever its logit is, NaN included: its probability is 0 (−∞ the logarithm), and so is every
/// derivative by it. A row in which no class takes part is answered as
/// [`FullyMasked`](crate::FullyMasked) says. Derivatives are those by x, so that 1 / T is in them.
///
/// ```
/// use wgpu_softmax::{Adjustment, Cpu, Op, Request};
/// let scores = [1.0f32, 5.0, 2.0, 2.0];
/// let causal = Adjustment::default().causal(0);
/// let request = Request::new(Op::Softmax, &scores, &[2, 2], -1).adjustment(causal);
/// assert_eq!(Cpu::new().answer::<f32>(&request)?, [1.0, 0.0, 0.5, 0.5]);
/// # Ok::<(), wgpu_softmax::Error>(())
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct Adjustment<'a> {
    temperature: Option<Temperature<'a>>,
    mask: Option<(&'a [bool], &'a [usize])>,
    additive_mask: Option<(Elements<'a>, &'a [usize])>,
    causal: Option<Causal>,
    lengths: Option<&'a [u64]>,
}

/// What logits are divided by: positive and finite.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Temperature<'a> {
    /// One number for all rows.
    Same(f64),
    /// A number for each row, C-ordered over the array's axes without the ones normalised.
    PerRow(Elements<'a>),
}

impl From<f64> for Temperature<'_> {
    fn from(temperature: f64) -> Self {
        Temperature::Same(temperature)
    }
}

impl<'a> From<Elements<'a>> for Temperature<'a> {
    fn from(temperatures: Elements<'a>) -> Self {
        Temperature::PerRow(temperatures)
    }
}

/// Which keys a query sees: key j for query i where i + offset − window < j ≤ i + offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Causal {
    pub(crate) offset: i64,
    pub(crate) window: Option<u64>,
}

/// An adjustment to which no memory of the caller's belongs, so that it can be compared with a later one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Unborrowed {
    temperature: Option<f64>,
    causal: Option<Causal>,
}

impl<'a> Adjustment<'a> {
    /// Divides the logits by `temperature`: one number, or one for each row.
    pub fn temperature(mut self, temperature: impl Into<Temperature<'a>>) -> Self {
        self.temperature = Some(temperature.into());
        self
    }

    /// Lets only those logits take part for which `mask` is true. Its shape is broadcast against the logits'
    /// as NumPy does it: aligned at the last axis, lengths of 1 repeated.
    pub fn mask(mut self, mask: &'a [bool], shape: &'a [usize]) -> Self {
        self.mask = Some((mask, shape));
        self
    }

    /// Adds `mask` to the logits (after the temperature), its shape broadcast against theirs.
    pub fn additive_mask(mut self, mask: impl Into<Elements<'a>>, shape: &'a [usize]) -> Self {
        self.additive_mask = Some((mask.into(), shape));
        self
    }

    /// Lets query i, on the last axis but one, see the keys j ≤ i + `offset` on the last axis, which must be
    /// the one that is normalised. No mask is held in memory.
    pub fn causal(mut self, offset: i64) -> Self {
        self.causal = Some(Causal { offset, window: None });
        self
    }

    /// As [`causal`](Adjustment::causal), and of those keys only the last `window`.
    pub fn sliding_window(mut self, offset: i64, window: u64) -> Self {
        self.causal = Some(Causal { offset, window: Some(window) });
        self
    }

    /// Lets only the first so many classes of each row take part: ragged rows in padded storage. C-ordered
    /// over the array's axes without the ones normalised.
    pub fn lengths(mut self, lengths: &'a [u64]) -> Self {
        self.lengths = Some(lengths);
        self
    }

    /// Whether nothing is adjusted.
    pub fn is_none(&self) -> bool {
        self.temperature.is_none()
            && self.mask.is_none()
            && self.additive_mask.is_none()
            && self.causal.is_none()
            && self.lengths.is_none()
    }

    /// What is left of it when the caller's memory is gone, where that is all of it.
    pub(crate) fn unborrowed(&self) -> Option<Unborrowed> {
        let Adjustment { temperature, mask: None, additive_mask: None, causal, lengths: None } = *self else {
            return None;
        };
        let temperature = match temperature {
            None => None,
            Some(Temperature::Same(temperature)) => Some(temperature),
            Some(Temperature::PerRow(_)) => return None,
        };
        Some(Unborrowed { temperature, causal })
    }

    /// The same over the rows of `arrangement`, an array of `shape` that is computed in `computed`.
    pub(crate) fn resolve(
        &self,
        shape: &[usize],
        arrangement: &Arrangement,
        computed: Dtype,
    ) -> Result<Resolved<'a>> {
        self.resolve_within(shape, arrangement, computed, arrangement.rows.classes())
    }

    /// The same where `arrangement` has only some of the classes of its rows, of which there are at most `classes`:
    /// lengths and keys count those of whole rows.
    pub(crate) fn resolve_within(
        &self,
        shape: &[usize],
        arrangement: &Arrangement,
        computed: Dtype,
        classes: u64,
    ) -> Result<Resolved<'a>> {
        let rows = &arrangement.rows;
        let per_row = |what, length: usize| crate::tensor::check_length(what, rows.count(), length as u64);
        if let Some(temperature) = &self.temperature {
            match temperature {
                Temperature::Same(value) => check_temperature(None, *value, computed)?,
                Temperature::PerRow(values) => {
                    per_row("the temperatures' slice", values.len())?;
                    for row in 0..values.len() {
                        let value = values.get(row).unwrap_or(f64::NAN);
                        check_temperature(Some(row as u64), value, computed)?;
                    }
                }
            }
        }
        if let Some(lengths) = self.lengths {
            per_row("the lengths' slice", lengths.len())?;
            if let Some(row) = lengths.iter().position(|&length| length > classes) {
                return Err(Error::LengthOutOfRange { row: row as u64, length: lengths[row], classes });
            }
        }
        let mut queries = 1;
        if self.causal.is_some() {
            let [_, normalised, _] = &arrangement.axes;
            if shape.len() < 2 || normalised[..] != [shape.len() - 1] {
                return Err(Error::CausalAxes { shape: shape.to_vec() });
            }
            queries = shape[shape.len() - 2] as u64;
        }
        let broadcast = |what, length: usize, mask_shape: &[usize]| {
            let broadcast = Broadcast::of_shape(what, mask_shape, shape, arrangement)?;
            let elements: usize = mask_shape.iter().product();
            crate::tensor::check_length(what, elements as u64, length as u64)?;
            Ok::<_, Error>(broadcast)
        };
        let mask = match self.mask {
            Some((values, mask_shape)) => Some((values, broadcast("the mask", values.len(), mask_shape)?)),
            None => None,
        };
        let additive_mask = match self.additive_mask {
            Some((values, mask_shape)) => {
                Some((values, broadcast("the additive mask", values.len(), mask_shape)?))
            }
            None => None,
        };
        Ok(Resolved {
            temperature: self.temperature,
            mask,
            additive_mask,
            causal: self.causal,
            queries,
            lengths: self.lengths,
            classes,
            inner: rows.inner(),
        })
    }
}

/// Whether a temperature is finite and positive as a number of the type that is computed in, which it is
/// divided by as.
pub(crate) fn check_temperature(row: Option<u64>, value: f64, computed: Dtype) -> Result<()> {
    let divisor = if computed == Dtype::F64 { value } else { f64::from(value as f32) };
    match divisor.is_finite() && divisor > 0.0 {
        true => Ok(()),
        false => Err(Error::TemperatureOutOfRange { row, value: value.to_string(), computed }),
    }
}

/// The elements from one index to the next on each axis of `shape`, for an array of `from` that is broadcast
/// to it.
fn broadcast_strides(what: &'static str, from: &[usize], shape: &[usize]) -> Result<Vec<u64>> {
    let refuse = || Error::NotBroadcastable { what, from: from.to_vec(), to: shape.to_vec() };
    let missing = shape.len().checked_sub(from.len()).ok_or_else(refuse)?;
    let mut strides = vec![0; shape.len()];
    let mut stride = 1u64;
    for (axis, &length) in from.iter().enumerate().rev() {
        let broadcast_to = shape[missing + axis];
        match length {
            1 => {}
            _ if length == broadcast_to => strides[missing + axis] = stride,
            _ => return Err(refuse()),
        }
        stride = stride.saturating_mul(length as u64);
    }
    Ok(strides)
}

/// Where the element of a smaller array lies that is broadcast to a place (o, j, i) of the rows: the sum of
/// three offsets, each of which takes its index apart into digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Broadcast {
    /// Length and stride of each digit, the last one first; neighbouring axes that continue each other are
    /// one digit.
    pub(crate) outer: Vec<[u64; 2]>,
    pub(crate) classes: Vec<[u64; 2]>,
    pub(crate) inner: Vec<[u64; 2]>,
}

impl Broadcast {
    /// An array of `mask` broadcast to the rows of an array of `shape`.
    pub(crate) fn of_shape(
        what: &'static str,
        mask: &[usize],
        shape: &[usize],
        arrangement: &Arrangement,
    ) -> Result<Self> {
        Ok(Broadcast::new(shape, &broadcast_strides(what, mask, shape)?, &arrangement.axes))
    }

    fn new(shape: &[usize], strides: &[u64], axes: &[Vec<usize>; 3]) -> Self {
        let [outer, classes, inner] = axes.each_ref().map(|axes| {
            let mut digits: Vec<[u64; 2]> = Vec::new();
            for &axis in axes.iter().rev().filter(|&&axis| shape[axis] != 1) {
                let (length, stride) = (shape[axis] as u64, strides[axis]);
                match digits.last_mut() {
                    Some([below, stride_below]) if stride == *below * *stride_below => *below *= length,
                    _ => digits.push([length, stride]),
                }
            }
            if digits.iter().all(|[_, stride]| *stride == 0) { Vec::new() } else { digits }
        });
        Broadcast { outer, classes, inner }
    }

    fn place(digits: &[[u64; 2]], mut index: u64) -> u64 {
        let mut place = 0;
        for [length, stride] in digits {
            place += index % length * stride;
            index /= length;
        }
        place
    }

    /// The place for class `class` of row (outer, inner).
    pub(crate) fn at(&self, outer: u64, class: u64, inner: u64) -> u64 {
        Broadcast::place(&self.outer, outer)
            + Broadcast::place(&self.classes, class)
            + Broadcast::place(&self.inner, inner)
    }

    /// The places for the classes of row (outer, inner).
    fn in_row(&self, outer: u64, inner: u64) -> InRow<'_> {
        let start = Broadcast::place(&self.outer, outer) + Broadcast::place(&self.inner, inner);
        InRow { start: start as usize, first: 0, classes: &self.classes }
    }
}

/// An adjustment of the rows of an arrangement, which it fits.
#[derive(Debug, Clone)]
pub(crate) struct Resolved<'a> {
    pub(crate) temperature: Option<Temperature<'a>>,
    pub(crate) mask: Option<(&'a [bool], Broadcast)>,
    pub(crate) additive_mask: Option<(Elements<'a>, Broadcast)>,
    pub(crate) causal: Option<Causal>,
    /// Length of the axis of queries.
    pub(crate) queries: u64,
    pub(crate) lengths: Option<&'a [u64]>,
    classes: u64,
    inner: u64,
}

impl Resolved<'_> {
    /// Whether nothing is adjusted.
    pub(crate) fn is_none(&self) -> bool {
        self.temperature.is_none()
            && self.mask.is_none()
            && self.additive_mask.is_none()
            && self.causal.is_none()
            && self.lengths.is_none()
    }

    /// What the logits of a row are divided by: 1 where there is no temperature.
    pub(crate) fn temperature_of(&self, row: u64) -> f64 {
        match &self.temperature {
            None => 1.0,
            Some(Temperature::Same(value)) => *value,
            Some(Temperature::PerRow(values)) => values.get(row as usize).unwrap_or(f64::NAN),
        }
    }

    /// The classes of a row that its length, its causality and its window leave.
    pub(crate) fn visible(&self, row: u64) -> Range<u64> {
        let length = self.lengths.map_or(self.classes, |lengths| lengths[row as usize]);
        let Some(Causal { offset, window }) = self.causal else { return 0..length };
        // One past the last key that the query sees.
        let end = ((row % self.queries) as i64).saturating_add(offset).saturating_add(1);
        let start = window.map_or(0, |window| end.saturating_sub_unsigned(window).max(0) as u64);
        let end = (end.max(0) as u64).min(length);
        start.min(end)..end
    }

    /// Turns the logits of row (outer, inner) into what its softmax is taken of, −∞ for classes that take no
    /// part, and notes which do.
    #[inline(always)]
    pub(crate) fn adjust<T: Real>(&self, outer: u64, inner: u64, row: &mut [T], takes_part: &mut [bool]) {
        let Range { start, end } = self.visible(outer * self.inner + inner);
        self.adjust_from(0, outer, inner, start as usize..end as usize, row, takes_part);
    }

    /// The same for some neighbours of the arrangement's classes from class `first` on, of which those in `visible`
    /// are left by length, causality and window.
    #[inline(always)]
    pub(crate) fn adjust_from<T: Real>(
        &self,
        first: usize,
        outer: u64,
        inner: u64,
        visible: Range<usize>,
        row: &mut [T],
        takes_part: &mut [bool],
    ) {
        if self.temperature.is_some() {
            divide(row, self.temperature_of(outer * self.inner + inner));
        }
        if let Some((values, broadcast)) = &self.additive_mask {
            let places = broadcast.in_row(outer, inner).from(first);
            match values {
                Elements::F16(values) => add(values, &places, row),
                Elements::Bf16(values) => add(values, &places, row),
                Elements::F32(values) => add(values, &places, row),
                Elements::F64(values) => add(values, &places, row),
            }
        }

        match &self.mask {
            None => takes_part.fill(true),
            Some((mask, broadcast)) => {
                let places = broadcast.in_row(outer, inner).from(first);
                places.pair(mask, takes_part, |place, allowed| *place = allowed);
            }
        }
        takes_part[..visible.start].fill(false);
        takes_part[visible.end..].fill(false);
        for (x, &takes_part) in row.iter_mut().zip(&*takes_part) {
            *x = if takes_part { *x } else { T::NEG_INFINITY };
        }
    }
}

/// Divides logits by a temperature.
#[inline(always)]
fn divide<T: Real>(row: &mut [T], temperature: f64) {
    let narrow = T::narrow(temperature);
    // The quotient of a temperature that the logits' type rounds to 0, to ∞ or badly may still be a number.
    if narrow.is_normal() {
        for x in row {
            *x = *x / narrow;
        }
    } else {
        for x in row {
            *x = T::narrow(x.widen() / temperature);
        }
    }
}

#[inline(always)]
fn add<S: Element, T: Real>(values: &[S], places: &InRow<'_>, row: &mut [T]) {
    places.pair(values, row, |x, added| *x = *x + T::narrow(added.computed().widen()));
}

/// Where the elements of a smaller array lie that are broadcast to one row.
struct InRow<'a> {
    start: usize,
    /// The class that comes first.
    first: usize,
    /// As of [`Broadcast`].
    classes: &'a [[u64; 2]],
}

impl InRow<'_> {
    /// The same from a class of the row on.
    #[inline(always)]
    fn from(self, first: usize) -> Self {
        InRow { first, ..self }
    }

    /// Calls `visit` for every element of a row and what of `values` is broadcast to it.
    #[inline(always)]
    fn pair<V: Copy, E>(&self, values: &[V], row: &mut [E], visit: impl Fn(&mut E, V)) {
        // Several digits are taken apart class by class.
        let start = match *self.classes {
            [[_, stride]] => self.start.saturating_add(self.first.saturating_mul(stride as usize)),
            _ => self.start,
        };
        let values = values.get(start..).unwrap_or_default();
        match *self.classes {
            [] => {
                if let Some(&value) = values.first() {
                    row.iter_mut().for_each(|element| visit(element, value));
                }
            }
            [[_, 1]] => row.iter_mut().zip(values).for_each(|(element, &value)| visit(element, value)),
            [[_, stride]] if stride > 1 => {
                let values = values.iter().step_by(stride as usize);
                row.iter_mut().zip(values).for_each(|(element, &value)| visit(element, value));
            }
            ref digits => {
                for (class, element) in (self.first..).zip(row) {
                    if let Some(&value) = values.get(Broadcast::place(digits, class as u64) as usize) {
                        visit(element, value);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Axes, Op};

    fn resolved<'a>(adjustment: &Adjustment<'a>, shape: &[usize], axes: impl Into<Axes>) -> Resolved<'a> {
        let arrangement = Arrangement::new(Op::Softmax, shape, &axes.into()).unwrap();
        adjustment.resolve(shape, &arrangement, Dtype::F32).unwrap()
    }

    #[test]
    fn masks_are_broadcast_as_numpy_does_it() {
        let shape = [2, 3, 4, 5];
        let values: Vec<u64> = (0..8).collect();
        // (2, 1, 4, 1) against the shape, along every axis.
        for axis in [0isize, 1, 2, 3] {
            let arrangement = Arrangement::new(Op::Softmax, &shape, &Axes::from(axis)).unwrap();
            let strides = broadcast_strides("mask", &[2, 1, 4, 1], &shape).unwrap();
            assert_eq!(strides, [4, 0, 1, 0]);
            let broadcast = Broadcast::new(&shape, &strides, &arrangement.axes);
            let rows = arrangement.rows;
            for place in 0..120u64 {
                let (outer, rest) =
                    (place / (rows.classes() * rows.inner()), place % (rows.classes() * rows.inner()));
                let (class, inner) = (rest / rows.inner(), rest % rows.inner());
                let mut row = vec![0; rows.classes() as usize];
                broadcast.in_row(outer, inner).pair(&values, &mut row, |place, value| *place = value);
                let (a, c) = (place / 60, place / 5 % 4);
                assert_eq!(row[class as usize], a * 4 + c);
            }
        }
        assert!(broadcast_strides("mask", &[3], &[2, 4]).is_err());
        assert!(broadcast_strides("mask", &[1, 1, 4], &[2, 4]).is_err());
    }

    #[test]
    fn temperatures_beyond_the_type_still_divide() {
        for (temperature, expected) in
            [(1e300, [0.0, 0.0, 0.0]), (1e-300, [0.0, f32::INFINITY, -f32::INFINITY])]
        {
            let mut row = [0.0f32, 3.0, -2.0];
            divide(&mut row, temperature);
            assert_eq!(row, expected);
        }
        let mut row = [1e-39f32];
        divide(&mut row, 1e-39);
        assert!((row[0] - 1.0).abs() < 1e-6);
    }

    #[test]
    fn masks_are_added_whatever_their_type_and_shape() {
        let shape = [2, 2, 2];
        let mask = [half::f16::from_f32(0.5), half::f16::NEG_INFINITY];
        for (axes, expected) in [(Axes::from(-1), [0.75, f32::NEG_INFINITY]), (Axes::from(0), [0.75, 0.75])] {
            let adjustment = Adjustment::default().temperature(2.0).additive_mask(&mask, &[2]);
            let (mut row, mut takes_part) = ([0.5f32; 2], [false; 2]);
            resolved(&adjustment, &shape, axes).adjust(0, 0, &mut row, &mut takes_part);
            assert_eq!((row, takes_part), (expected, [true; 2]));
        }
        // Along axes of which the mask has a part.
        let adjustment = Adjustment::default().additive_mask(&mask, &[2, 1]);
        let (mut row, mut takes_part) = ([0.5f32; 8], [false; 8]);
        resolved(&adjustment, &shape, ..).adjust(0, 0, &mut row, &mut takes_part);
        let pair = [1.0, 1.0, f32::NEG_INFINITY, f32::NEG_INFINITY];
        assert_eq!(row, [pair, pair].concat()[..]);
    }

    #[test]
    fn queries_see_the_keys_up_to_them() {
        let of = |adjustment: Adjustment<'_>| -> Vec<Range<u64>> {
            let resolved = resolved(&adjustment, &[2, 3, 4], -1);
            (0..6).map(|row| resolved.visible(row)).collect()
        };
        assert_eq!(of(Adjustment::default().causal(0)), [0..1, 0..2, 0..3, 0..1, 0..2, 0..3]);
        assert_eq!(of(Adjustment::default().causal(1))[..3], [0..2, 0..3, 0..4]);
        assert_eq!(of(Adjustment::default().causal(-2))[..3], [0..0, 0..0, 0..1]);
        assert_eq!(of(Adjustment::default().sliding_window(0, 2))[..3], [0..1, 0..2, 1..3]);
        assert_eq!(of(Adjustment::default().sliding_window(9, 2))[..3], [4..4, 4..4, 4..4]);
        assert_eq!(of(Adjustment::default().sliding_window(i64::MIN, 2))[0], 0..0);
        let lengths = [4, 2, 2, 0, 1, 4];
        assert_eq!(of(Adjustment::default().causal(0).lengths(&lengths))[2..5], [0..2, 0..0, 0..1]);
    }
}
