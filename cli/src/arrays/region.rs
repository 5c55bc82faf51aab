//! A box cut out of an array: what a window reads and writes, and where that lies in a file.

use super::places::places;

/// For each axis of an array, from where on, and how many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Region {
    pub start: Vec<usize>,
    pub lengths: Vec<usize>,
}

impl Region {
    /// All of an array of `shape`.
    pub fn whole(shape: &[usize]) -> Region {
        Region { start: vec![0; shape.len()], lengths: shape.to_vec() }
    }

    /// Where it starts along each axis, and its length.
    pub fn sides(&self) -> impl Iterator<Item = (usize, usize)> {
        self.start.iter().copied().zip(self.lengths.iter().copied())
    }

    /// Elements in it.
    pub fn elements(&self) -> usize {
        self.lengths.iter().product()
    }

    /// From the element that is the `from`th in C order on, the largest box that ends where one axis does or is cut
    /// there: at most `most` elements (one at least), which follow each other in C order. Boxes one behind the other
    /// cover the array.
    pub fn next(shape: &[usize], from: usize, most: usize) -> Region {
        let mut region = Region { start: vec![0; shape.len()], lengths: vec![1; shape.len()] };
        let mut rest = from;
        for axis in (0..shape.len()).rev() {
            region.start[axis] = rest % shape[axis].max(1);
            rest /= shape[axis].max(1);
        }
        // Outwards, as long as all that is further in is covered from its first element to its last.
        let mut inside = 1usize;
        for axis in (0..shape.len()).rev() {
            let left = shape[axis] - region.start[axis].min(shape[axis]);
            region.lengths[axis] = left.min((most / inside.max(1)).max(1));
            if region.lengths[axis] < shape[axis] {
                break;
            }
            inside *= shape[axis];
        }
        region
    }

    /// What an array of `shape`, which can be broadcast to the one that this is a region of, has for it.
    pub fn of_broadcast(&self, shape: &[usize]) -> Region {
        let ahead = self.lengths.len() - shape.len();
        let along = |values: &[usize], alone: usize| -> Vec<usize> {
            let axes = shape.iter().zip(&values[ahead..]);
            axes.map(|(&length, &value)| if length == 1 { alone } else { value }).collect()
        };
        Region { start: along(&self.start, 0), lengths: along(&self.lengths, 1) }
    }

    /// The same with the axes in the opposite order.
    pub fn reversed(&self) -> Region {
        let backwards = |values: &[usize]| values.iter().rev().copied().collect();
        Region { start: backwards(&self.start), lengths: backwards(&self.lengths) }
    }

    /// Where its elements lie in a C-ordered array of `shape`: the first one of each run of neighbours, ascending,
    /// and how many there are in every one.
    pub fn runs(&self, shape: &[usize]) -> (impl Iterator<Item = u64> + use<>, usize) {
        let strides: Vec<u64> = (0..shape.len())
            .map(|axis| shape[axis + 1..].iter().map(|&length| length as u64).product())
            .collect();
        // The axes of which only the last one is cut are a run together.
        let mut cut = shape.len();
        let mut run = 1;
        while cut > 0 {
            cut -= 1;
            run *= self.lengths[cut];
            if self.lengths[cut] < shape[cut] {
                break;
            }
        }
        let first = self.start.iter().zip(&strides).map(|(&start, stride)| start as u64 * stride).sum();
        // Where a run has nothing, there is none.
        let starts = if run == 0 {
            places(first, vec![(0, 0)])
        } else {
            places(first, self.lengths[..cut].iter().copied().zip(strides[..cut].iter().copied()).collect())
        };
        (starts, run)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPES: [&[usize]; 9] =
        [&[], &[1], &[7], &[3, 5], &[1, 4, 1], &[2, 3, 4], &[4, 1, 3, 2], &[2, 2, 2, 2, 2], &[5, 1, 1]];

    /// The elements of a region, one by one.
    fn places(region: &Region, shape: &[usize]) -> Vec<usize> {
        (0..shape.iter().product())
            .filter(|&place| {
                let mut rest = place;
                (0..shape.len()).rev().all(|axis| {
                    let digit = rest % shape[axis];
                    rest /= shape[axis];
                    (region.start[axis]..region.start[axis] + region.lengths[axis]).contains(&digit)
                })
            })
            .collect()
    }

    #[test]
    fn boxes_cover_an_array_in_order() {
        for shape in SHAPES {
            let elements: usize = shape.iter().product();
            for most in 1..=elements + 1 {
                let mut from = 0;
                while from < elements {
                    let region = Region::next(shape, from, most);
                    let covered = region.elements();
                    assert!((1..=most).contains(&covered), "{region:?} of {shape:?} within {most}");
                    assert_eq!(places(&region, shape), (from..from + covered).collect::<Vec<_>>());
                    from += covered;
                }
                assert_eq!(from, elements);
            }
        }
        assert_eq!(Region::next(&[0, 5], 0, 10).elements(), 0);
        assert_eq!(Region::next(&[5, 0], 0, 10).elements(), 0);
    }

    #[test]
    fn runs_are_the_elements() {
        for shape in SHAPES {
            for number in 0..60 {
                let digit = |axis: usize, of: usize| (number * 7 + axis * 13 + number / 5) % of;
                let start: Vec<usize> = (0..shape.len()).map(|axis| digit(axis, shape[axis])).collect();
                let lengths = (0..shape.len()).map(|axis| digit(axis + 1, shape[axis] - start[axis]) + 1);
                let region = Region { lengths: lengths.collect(), start };
                let (starts, run) = region.runs(shape);
                let listed: Vec<usize> =
                    starts.flat_map(|start| start as usize..start as usize + run).collect();
                assert_eq!(listed, places(&region, shape), "{region:?} of {shape:?}");
            }
        }
        assert_eq!(Region::whole(&[3, 0]).runs(&[3, 0]).0.count(), 0);
    }

    #[test]
    fn broadcast_axes_stay_whole() {
        let region = Region { start: vec![3, 1, 4], lengths: vec![2, 5, 6] };
        assert_eq!(region.of_broadcast(&[1, 10]), Region { start: vec![0, 4], lengths: vec![1, 6] });
        assert_eq!(region.of_broadcast(&[]), Region { start: vec![], lengths: vec![] });
    }
}
