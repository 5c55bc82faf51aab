//! What is said of an array beside its logits, worked out place by place: which class of which row each
//! element is, which take part, what is added. It is the naive way on purpose, and knows nothing of the
//! crate's own.

use wgpu_softmax::{Adjustment, Axes, Dtype, Temperature};

use super::stored::{Stored, greatest};

/// A C-ordered array and the axes that are normalised.
#[derive(Debug, Clone, PartialEq)]
pub struct Layout {
    pub shape: Vec<usize>,
    /// Ascending.
    pub axes: Vec<usize>,
}

impl Layout {
    pub fn new(shape: &[usize], axes: &[usize]) -> Self {
        Layout { shape: shape.to_vec(), axes: axes.to_vec() }
    }

    pub fn request_axes(&self) -> Axes {
        let axes: Vec<isize> = self.axes.iter().map(|&axis| axis as isize).collect();
        Axes::Several(axes)
    }

    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }

    pub fn classes(&self) -> usize {
        self.axes.iter().map(|&axis| self.shape[axis]).product()
    }

    pub fn rows(&self) -> usize {
        self.kept().map(|axis| self.shape[axis]).product()
    }

    fn kept(&self) -> impl Iterator<Item = usize> {
        (0..self.shape.len()).filter(|axis| !self.axes.contains(axis))
    }

    /// Where the classes of each row lie, the rows C-ordered over the axes that are kept.
    pub fn places(&self) -> Vec<Vec<usize>> {
        let mut places = vec![vec![0; self.classes()]; self.rows()];
        for place in 0..self.elements() {
            let index = self.index(place);
            let number = |axes: &mut dyn Iterator<Item = usize>| {
                axes.fold(0, |number, axis| number * self.shape[axis] + index[axis])
            };
            let (row, class) = (number(&mut self.kept()), number(&mut self.axes.iter().copied()));
            places[row][class] = place;
        }
        places
    }

    /// The index on each axis of the element at `place`.
    pub fn index(&self, place: usize) -> Vec<usize> {
        let mut rest = place;
        let mut index = vec![0; self.shape.len()];
        for (axis, &length) in self.shape.iter().enumerate().rev() {
            (index[axis], rest) = (rest % length, rest / length);
        }
        index
    }
}

/// Which element of an array of shape `from`, broadcast as NumPy does it, stands at `index`.
fn broadcast(index: &[usize], from: &[usize]) -> usize {
    let aligned = &index[index.len() - from.len()..];
    aligned
        .iter()
        .zip(from)
        .fold(0, |place, (&index, &length)| place * length + if length == 1 { 0 } else { index })
}

/// Temperatures, of a row or of all.
#[derive(Debug, Clone)]
pub enum Temperatures {
    Same(f64),
    PerRow(Stored),
}

/// What an [`Adjustment`] is made from.
#[derive(Debug, Clone, Default)]
pub struct Adjusted {
    pub temperature: Option<Temperatures>,
    pub mask: Option<(Vec<bool>, Vec<usize>)>,
    pub additive_mask: Option<(Stored, Vec<usize>)>,
    /// The offset, and the window where there is one.
    pub causal: Option<(i64, Option<u64>)>,
    pub lengths: Option<Vec<u64>>,
}

/// A row as its softmax sees it.
pub struct AdjustedRow {
    /// x / T + a, in f64; infinite where that is beyond the range of the type that is computed in.
    pub z: Vec<f64>,
    pub takes_part: Vec<bool>,
    pub temperature: f64,
    /// The largest finite |x / T| or |x / T + a| of what takes part: what a rounding of z is relative to.
    /// 0 where nothing is adjusted.
    pub magnitude: f64,
}

impl Adjusted {
    pub fn adjustment(&self) -> Adjustment<'_> {
        let mut adjustment = Adjustment::default();
        match &self.temperature {
            Some(Temperatures::Same(temperature)) => adjustment = adjustment.temperature(*temperature),
            Some(Temperatures::PerRow(temperatures)) => {
                adjustment = adjustment.temperature(Temperature::from(temperatures.elements()));
            }
            None => {}
        }
        if let Some((mask, shape)) = &self.mask {
            adjustment = adjustment.mask(mask, shape);
        }
        if let Some((mask, shape)) = &self.additive_mask {
            adjustment = adjustment.additive_mask(mask.elements(), shape);
        }
        match self.causal {
            Some((offset, None)) => adjustment = adjustment.causal(offset),
            Some((offset, Some(window))) => adjustment = adjustment.sliding_window(offset, window),
            None => {}
        }
        if let Some(lengths) = &self.lengths {
            adjustment = adjustment.lengths(lengths);
        }
        adjustment
    }

    /// Row `row`, whose classes lie at `places`, of logits that are computed in `computed`.
    pub fn row(
        &self,
        logits: &Stored,
        layout: &Layout,
        row: usize,
        places: &[usize],
        computed: Dtype,
    ) -> AdjustedRow {
        let in_range = |value: f64| {
            if value.is_finite() && value.abs() > greatest(computed) {
                f64::INFINITY.copysign(value)
            } else {
                value
            }
        };
        let temperature = match &self.temperature {
            None => 1.0,
            Some(Temperatures::Same(temperature)) => *temperature,
            Some(Temperatures::PerRow(temperatures)) => temperatures.get(row),
        };
        let is_moved = self.temperature.is_some() || self.additive_mask.is_some();
        let mut adjusted = AdjustedRow { z: Vec::new(), takes_part: Vec::new(), temperature, magnitude: 0.0 };
        for (class, &place) in places.iter().enumerate() {
            let index = layout.index(place);
            let takes_part = self.takes_part(&index, row, class);
            let quotient = in_range(logits.get(place) / temperature);
            let added = match &self.additive_mask {
                Some((mask, shape)) => in_range(mask.get(broadcast(&index, shape))),
                None => 0.0,
            };
            let z = in_range(quotient + added);
            if is_moved && takes_part && z.is_finite() {
                adjusted.magnitude = adjusted.magnitude.max(quotient.abs()).max(z.abs());
            }
            adjusted.z.push(z);
            adjusted.takes_part.push(takes_part);
        }
        adjusted
    }

    pub fn takes_part(&self, index: &[usize], row: usize, class: usize) -> bool {
        let allowed = match &self.mask {
            Some((mask, shape)) => mask[broadcast(index, shape)],
            None => true,
        };
        let within = self.lengths.as_ref().is_none_or(|lengths| (class as u64) < lengths[row]);
        let seen = self.causal.is_none_or(|(offset, window)| {
            let (query, key) = (index[index.len() - 2] as i128, index[index.len() - 1] as i128);
            let last = query + i128::from(offset);
            key <= last && window.is_none_or(|window| key > last - i128::from(window))
        });
        allowed && within && seen
    }
}
