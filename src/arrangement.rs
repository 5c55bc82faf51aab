//! How an array's elements are ordered into rows for the one-call functions: as they lie where the axes
//! are adjacent, permuted on the host where they are not.

use std::ops::Range;

use crate::rows::{checked_product, sizes_of};
use crate::{Axes, Error, Op, Output, Result, Rows};

/// The rows of an array, and where each of their elements lies in it.
#[derive(Debug, Clone)]
pub(crate) struct Arrangement {
    /// Compact rows, in the order the kernels see.
    pub(crate) rows: Rows,
    /// The array's axes that make up outer, classes and inner, each outermost first.
    pub(crate) axes: [Vec<usize>; 3],
    /// Length and stride of each dimension in that order; `None` where it is the array's own.
    permuted: Option<Vec<(u64, u64)>>,
}

impl Arrangement {
    pub(crate) fn new(op: Op, shape: &[usize], axes: &Axes) -> Result<Self> {
        match Rows::of_shape(shape, axes) {
            // The rows of a Jacobian are the last axis, and so are the two values of a row.
            Ok(rows) if matches!(op.output(), Output::PerPair | Output::TwoPerRow) && rows.inner() != 1 => {
                Arrangement::permuted(shape, &axes.resolve(shape.len())?)
            }
            Ok(rows) => {
                let reduced = axes.resolve(shape.len())?;
                let long = |axis: &usize| shape[*axis] != 1;
                let first = reduced.iter().copied().find(long).unwrap_or(shape.len());
                let (outer, inner) =
                    (0..shape.len()).filter(|axis| !reduced.contains(axis)).partition(|&axis| axis < first);
                Ok(Arrangement { rows, axes: [outer, reduced, inner], permuted: None })
            }
            Err(Error::AxesNotAdjacent { axes, .. }) => Arrangement::permuted(shape, &axes),
            Err(error) => Err(error),
        }
    }

    /// The kept axes first, the ones normalised together last.
    fn permuted(shape: &[usize], reduced: &[usize]) -> Result<Self> {
        let sizes = sizes_of(shape);
        checked_product(&sizes)?;
        let strides: Vec<u64> = (0..shape.len()).map(|axis| sizes[axis + 1..].iter().product()).collect();
        let kept = || (0..shape.len()).filter(|axis| !reduced.contains(axis));
        let dimensions =
            kept().chain(reduced.iter().copied()).map(|axis| (sizes[axis], strides[axis])).collect();
        let rows = kept().map(|axis| sizes[axis]).product();
        let classes = reduced.iter().map(|&axis| sizes[axis]).product();
        let axes = [kept().collect(), reduced.to_vec(), Vec::new()];
        Ok(Arrangement { rows: Rows::batch(rows, classes)?, axes, permuted: Some(dimensions) })
    }

    /// Hands the elements of `range`, counted in the rows' order, to `take` in pieces.
    pub(crate) fn gather<T: Copy + Default>(
        &self,
        array: &[T],
        range: Range<u64>,
        mut take: impl FnMut(&[T]),
    ) {
        let Some(dimensions) = &self.permuted else {
            return take(&array[range.start as usize..range.end as usize]);
        };
        let mut piece = [T::default(); 1024];
        let mut filled = 0;
        for_each_place(dimensions, range, |place| {
            piece[filled] = array[place];
            filled += 1;
            if filled == piece.len() {
                take(&piece);
                filled = 0;
            }
        });
        take(&piece[..filled]);
    }

    /// Puts `values` where the elements of the range from `start` on, counted in the rows' order, lie.
    pub(crate) fn scatter<T: Copy>(&self, values: &[T], start: u64, array: &mut [T]) {
        match &self.permuted {
            None => array[start as usize..][..values.len()].copy_from_slice(values),
            Some(dimensions) => {
                let mut values = values.iter();
                let range = start..start + values.len() as u64;
                for_each_place(dimensions, range, |place| {
                    if let Some(&value) = values.next() {
                        array[place] = value;
                    }
                });
            }
        }
    }

    /// Calls `visit` with the place in the array of every element of `range`, counted in the rows' order.
    /// Does nothing where the order is the array's own.
    pub(crate) fn for_each_place(&self, range: Range<u64>, visit: impl FnMut(usize)) {
        if let Some(dimensions) = &self.permuted {
            for_each_place(dimensions, range, visit);
        }
    }

    pub(crate) fn is_permuted(&self) -> bool {
        self.permuted.is_some()
    }
}

/// Calls `visit` with the place in memory of every element of `range`.
fn for_each_place(dimensions: &[(u64, u64)], range: Range<u64>, mut visit: impl FnMut(usize)) {
    if range.is_empty() {
        return;
    }
    let mut position = vec![0; dimensions.len()];
    let mut rest = range.start;
    for (digit, &(length, _)) in position.iter_mut().zip(dimensions).rev() {
        *digit = rest % length;
        rest /= length;
    }
    let mut place: u64 = position.iter().zip(dimensions).map(|(digit, (_, stride))| digit * stride).sum();
    for _ in range {
        visit(place as usize);
        for (digit, &(length, stride)) in position.iter_mut().zip(dimensions).rev() {
            *digit += 1;
            place += stride;
            if *digit < length {
                break;
            }
            place -= length * stride;
            *digit = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_permuted_array_comes_back_as_it_was() {
        let shape = [2, 3, 4, 5];
        let array: Vec<u32> = (0..120).collect();
        let arrangement = Arrangement::new(Op::Softmax, &shape, &Axes::from([0, 2])).unwrap();
        assert_eq!(arrangement.rows, Rows::batch(15, 8).unwrap());

        let mut rows = Vec::new();
        arrangement.gather(&array, 0..120, |piece| rows.extend_from_slice(piece));
        // Row (second = 0, fourth = 0) runs over the first and third axis.
        assert_eq!(rows[..8], [0, 5, 10, 15, 60, 65, 70, 75]);

        let mut back = vec![0; 120];
        arrangement.scatter(&rows[..50], 0, &mut back);
        arrangement.scatter(&rows[50..], 50, &mut back);
        assert_eq!(back, array);
    }

    #[test]
    fn axes_of_length_one_do_not_separate() {
        assert!(!Arrangement::new(Op::Softmax, &[4, 1, 5], &Axes::from([0, 2])).unwrap().is_permuted());
        assert!(Arrangement::new(Op::Softmax, &[4, 2, 5], &Axes::from([0, 2])).unwrap().is_permuted());
    }
}
