//! From an N-dimensional array and its axes to `outer × classes × inner`, the one shape the kernels know.

use std::fmt;
use std::ops::Range;

use crate::{Error, Op, Output, Result};

/// Which axes are normalised together.
///
/// Made from one axis (`-1`), from several (`[-2, -1]`), or from `..` for the flattened array (NumPy's
/// `axis=None`). Negative axes count from the end; the order of several does not matter.
///
/// ```
/// use wgpu_softmax::Axes;
/// assert_eq!(Axes::from(-1), Axes::One(-1));
/// assert_eq!(Axes::from(..), Axes::All);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Axes {
    /// One axis.
    One(isize),
    /// The axes named.
    Several(Vec<isize>),
    /// Every axis: the whole array is one row.
    All,
}

impl From<isize> for Axes {
    fn from(axis: isize) -> Self {
        Axes::One(axis)
    }
}

impl<const COUNT: usize> From<[isize; COUNT]> for Axes {
    fn from(axes: [isize; COUNT]) -> Self {
        Axes::Several(axes.to_vec())
    }
}

impl From<&[isize]> for Axes {
    fn from(axes: &[isize]) -> Self {
        Axes::Several(axes.to_vec())
    }
}

impl From<std::ops::RangeFull> for Axes {
    fn from(_: std::ops::RangeFull) -> Self {
        Axes::All
    }
}

impl Axes {
    /// The axes counted from the front, ascending, for an array of `rank` dimensions.
    ///
    /// # Errors
    /// [`Error::AxisOutOfRange`] and [`Error::AxisRepeated`].
    pub fn resolve(&self, rank: usize) -> Result<Vec<usize>> {
        let axes = match self {
            Axes::One(axis) => std::slice::from_ref(axis),
            Axes::Several(axes) => axes,
            Axes::All => return Ok((0..rank).collect()),
        };
        let mut resolved = Vec::with_capacity(axes.len());
        for &axis in axes {
            let from_front = if axis < 0 { axis.checked_add_unsigned(rank) } else { Some(axis) };
            match from_front {
                Some(place) if place >= 0 && (place as usize) < rank => resolved.push(place as usize),
                _ => return Err(Error::AxisOutOfRange { axis, rank }),
            }
        }
        resolved.sort_unstable();
        match resolved.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(Error::AxisRepeated { axis: pair[0] }),
            None => Ok(resolved),
        }
    }
}

/// A batch of rows in a buffer: `outer × classes × inner`.
///
/// Element (o, j, i) lies at `offset + o·pitch + j·inner + i`, in elements. A row is what one softmax
/// normalises: the `classes` elements that share o and i. An (N, K) batch is `N × K × 1`.
///
/// ```
/// use wgpu_softmax::{Axes, Rows};
/// let rows = Rows::of_shape(&[8, 12, 64, 64], &Axes::from(1))?;
/// assert_eq!((rows.outer(), rows.classes(), rows.inner()), (8, 12, 64 * 64));
/// # Ok::<(), wgpu_softmax::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rows {
    outer: u64,
    classes: u64,
    inner: u64,
    pitch: u64,
    offset: u64,
    jacobian_rows: [u64; 2],
}

impl Rows {
    /// A compact `outer × classes × inner` array.
    ///
    /// # Errors
    /// [`Error::SizeOverflow`] where the product of the sizes is more than 64 bits hold.
    pub fn new(outer: u64, classes: u64, inner: u64) -> Result<Self> {
        checked_product(&[outer, classes.max(1), inner.max(1)])?;
        Ok(Rows { outer, classes, inner, pitch: classes * inner, offset: 0, jacobian_rows: [0, classes] })
    }

    /// A batch of `rows` rows of `classes` logits each, one after the other.
    ///
    /// # Errors
    /// [`Error::SizeOverflow`].
    pub fn batch(rows: u64, classes: u64) -> Result<Self> {
        Rows::new(rows, classes, 1)
    }

    /// The rows of a C-ordered array along `axes`, which must lie next to each other (axes of length 1
    /// do not stand between others).
    ///
    /// # Errors
    /// [`Error::AxesNotAdjacent`], [`Error::AxisOutOfRange`], [`Error::AxisRepeated`],
    /// [`Error::SizeOverflow`].
    pub fn of_shape(shape: &[usize], axes: &Axes) -> Result<Self> {
        let axes = axes.resolve(shape.len())?;
        checked_product(&sizes_of(shape))?;
        let mut parts = [1u64; 3];
        let mut part = 0;
        for (axis, &length) in shape.iter().enumerate() {
            if length == 1 {
                continue;
            }
            let reduced = axes.contains(&axis);
            match (part, reduced) {
                (0, true) => part = 1,
                (1, false) => part = 2,
                (2, true) => return Err(Error::AxesNotAdjacent { axes, shape: shape.to_vec() }),
                _ => {}
            }
            parts[part] *= length as u64;
        }
        let [outer, classes, inner] = parts;
        Rows::new(outer, classes, inner)
    }

    /// The same rows with `pitch` elements from the start of one slab of `classes × inner` to the next:
    /// padded storage needs no copy.
    ///
    /// # Errors
    /// [`Error::PitchTooSmall`] where slabs would overlap, [`Error::SizeOverflow`].
    pub fn with_pitch(self, pitch: u64) -> Result<Self> {
        let needed = self.classes * self.inner;
        if pitch < needed {
            return Err(Error::PitchTooSmall { pitch, needed });
        }
        Rows { pitch, ..self }.checked()
    }

    /// The same rows, starting `offset` elements into the buffer range.
    ///
    /// # Errors
    /// [`Error::SizeOverflow`].
    pub fn with_offset(self, offset: u64) -> Result<Self> {
        Rows { offset, ..self }.checked()
    }

    /// The same rows, of whose Jacobians only the rows in `range` are asked for: K × K values need not all
    /// be in memory at once. Other operations do not look at it.
    ///
    /// ```
    /// use wgpu_softmax::{Op, Rows};
    /// let rows = Rows::batch(1, 100_000)?.with_jacobian_rows(500..510)?;
    /// assert_eq!(rows.result(Op::Jacobian).elements(), 10 * 100_000);
    /// # Ok::<(), wgpu_softmax::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::JacobianRowsOutOfRange`].
    pub fn with_jacobian_rows(self, range: Range<u64>) -> Result<Self> {
        if range.start > range.end || range.end > self.classes {
            let Range { start, end } = range;
            return Err(Error::JacobianRowsOutOfRange { start, end, classes: self.classes });
        }
        Ok(Rows { jacobian_rows: [range.start, range.end], ..self })
    }

    fn checked(self) -> Result<Self> {
        let overflow = Error::SizeOverflow { sizes: vec![self.outer, self.pitch, self.offset] };
        match self.outer.checked_mul(self.pitch).and_then(|span| span.checked_add(self.offset)) {
            Some(_) => Ok(self),
            None => Err(overflow),
        }
    }

    /// How many slabs of `classes × inner` there are.
    pub fn outer(&self) -> u64 {
        self.outer
    }

    /// Logits in a row.
    pub fn classes(&self) -> u64 {
        self.classes
    }

    /// The rows of each Jacobian that are asked for: all of them, unless
    /// [`with_jacobian_rows`](Rows::with_jacobian_rows) says otherwise.
    pub fn jacobian_rows(&self) -> Range<u64> {
        let [start, end] = self.jacobian_rows;
        start..end
    }

    /// Elements from one class to the next: 1 where the axis is the last.
    pub fn inner(&self) -> u64 {
        self.inner
    }

    /// Elements from one slab to the next.
    pub fn pitch(&self) -> u64 {
        self.pitch
    }

    /// Elements before the first one.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Rows in all: outer × inner.
    pub fn count(&self) -> u64 {
        self.outer * self.inner
    }

    /// Logits in all.
    pub fn elements(&self) -> u64 {
        self.count().saturating_mul(self.classes)
    }

    /// Elements from the start of the buffer range to the end of the last row.
    pub fn extent(&self) -> u64 {
        let slab = self.classes.saturating_mul(self.inner);
        if self.outer == 0 || slab == 0 {
            return 0;
        }
        (self.outer - 1).saturating_mul(self.pitch).saturating_add(self.offset).saturating_add(slab)
    }

    /// The compact rows that `op` writes: the same for a value per element, `outer × 1 × inner` for a
    /// value per row, `outer × 2 × inner` for two, `outer × (Jacobian's rows · classes) × 1` for a value per pair of
    /// classes (whose rows are the last axis).
    pub fn result(&self, op: Op) -> Rows {
        let classes = match op.output() {
            Output::PerElement => self.classes,
            Output::PerRow => 1,
            Output::TwoPerRow => 2,
            // Sizes beyond 64 bits are refused where the result's shape is made.
            Output::PerPair => (self.jacobian_rows[1] - self.jacobian_rows[0]).saturating_mul(self.classes),
        };
        let pitch = classes.saturating_mul(self.inner);
        Rows { outer: self.outer, classes, inner: self.inner, pitch, offset: 0, jacobian_rows: [0, classes] }
    }
}

impl fmt::Display for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} × {} × {}", self.outer, self.classes, self.inner)
    }
}

/// The shape of what `op` gives for an array of `shape` along `axes`, C-ordered: the array's own; without
/// `axes`, or with length 1 there; or without `axes` and with the classes twice at the end, for a Jacobian.
///
/// # Errors
/// [`Error::AxisOutOfRange`], [`Error::AxisRepeated`] and [`Error::SizeOverflow`].
pub fn result_shape(op: Op, shape: &[usize], axes: &Axes, keep_axes: bool) -> Result<Vec<usize>> {
    let reduced = axes.resolve(shape.len())?;
    let shape = match op.output() {
        Output::PerElement => shape.to_vec(),
        Output::PerRow => (shape.iter().enumerate())
            .filter(|(axis, _)| keep_axes || !reduced.contains(axis))
            .map(|(axis, &length)| if reduced.contains(&axis) { 1 } else { length })
            .collect(),
        Output::TwoPerRow => {
            let kept = shape.iter().enumerate().filter(|(axis, _)| !reduced.contains(axis));
            kept.map(|(_, &length)| length).chain([2]).collect()
        }
        Output::PerPair => {
            let lengths = || shape.iter().enumerate();
            let normalised = lengths().filter(|(axis, _)| reduced.contains(axis)).map(|(_, &length)| length);
            let classes =
                checked_product(&normalised.map(|length| length as u64).collect::<Vec<_>>())? as usize;
            let kept = lengths().filter(|(axis, _)| !reduced.contains(axis)).map(|(_, &length)| length);
            kept.chain([classes; 2]).collect()
        }
    };
    checked_product(&sizes_of(&shape))?;
    Ok(shape)
}

pub(crate) fn sizes_of(shape: &[usize]) -> Vec<u64> {
    shape.iter().map(|&length| length as u64).collect()
}

/// The product of `sizes`, checked as if none were zero, so that no partial product overflows either.
pub(crate) fn checked_product(sizes: &[u64]) -> Result<u64> {
    let bytes_of_f64 = 8;
    let nonzero = sizes.iter().try_fold(bytes_of_f64, |product: u64, &size| product.checked_mul(size.max(1)));
    match nonzero {
        Some(_) => Ok(sizes.iter().product()),
        None => Err(Error::SizeOverflow { sizes: sizes.to_vec() }),
    }
}
