//! What is computed on: random logits with outliers, and regions of memory that take turns so that no cache holds
//! the next one.

use wgpu_softmax::{Dtype, Element, bf16, f16};

/// A type of element that numbers can be turned into and back.
pub trait Number: Element {
    fn of(value: f64) -> Self;
    fn value(self) -> f64;

    /// A number of the type that it is computed in.
    fn computed_value(computed: Self::Computed) -> f64;
}

macro_rules! numbers {
    ($($type:ty: $of:expr, $value:expr, $computed:expr;)*) => {$(
        impl Number for $type {
            fn of(value: f64) -> Self {
                $of(value)
            }

            fn value(self) -> f64 {
                $value(self)
            }

            fn computed_value(computed: Self::Computed) -> f64 {
                $computed(computed)
            }
        }
    )*};
}
numbers! {
    f16: f16::from_f64, f16::to_f64, f64::from;
    bf16: bf16::from_f64, bf16::to_f64, f64::from;
    f32: |value| value as f32, f64::from, f64::from;
    f64: |value| value, |value| value, |value| value;
}

/// SplitMix64 (Steele, Lea and Flood, 2014).
#[derive(Debug, Clone)]
pub struct Random(pub u64);

impl Random {
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Two independent numbers, normally distributed with standard deviation 5 (Box and Muller, 1958), of f32 as the
    /// runners of other libraries have them: the radius from the upper half of the bits, the angle from the lower.
    pub fn pair(&mut self) -> [f32; 2] {
        let bits = self.bits();
        // From above 0 to 1, where the upper half is counted from 1 in f32.
        let uniform = ((bits >> 32) as f32 + 1.0) * (1.0 / 4_294_967_808.0);
        let angle = (bits as u32) as f32 * (std::f32::consts::TAU / 4_294_967_296.0);
        let radius = 5.0 * (-2.0 * uniform.ln()).sqrt();
        [radius * angle.cos(), radius * angle.sin()]
    }
}

/// One number in so many is an outlier.
const OUTLIERS: usize = 10_007;

/// Numbers that are drawn; longer arrays repeat them. A prime, so that no two rows of an array are alike by their
/// length.
const DRAWN: usize = 4_194_301;

/// Normal logits with standard deviation 5, and now and then one from ±50 to ±10,000.
pub fn logits<T: Number>(count: usize) -> Vec<T> {
    let mut random = Random(count.min(DRAWN) as u64);
    let mut drawn: Vec<T> = Vec::with_capacity(count);
    while drawn.len() < count.min(DRAWN) {
        let pair = random.pair();
        drawn.extend(pair.map(|number| T::of(number.into())));
    }
    drawn.truncate(count.min(DRAWN));
    for place in (OUTLIERS / 2..drawn.len()).step_by(OUTLIERS) {
        let bits = random.bits();
        let magnitude = 50.0 * 200f64.powf((bits >> 33) as f64 / f64::from(1u32 << 31));
        drawn[place] = T::of(if bits & 1 == 0 { magnitude } else { -magnitude });
    }
    while drawn.len() < count {
        drawn.extend_from_within(..(count - drawn.len()).min(drawn.len()));
    }
    drawn
}

/// A class below `classes` for each row.
pub fn labels(rows: usize, classes: usize) -> Vec<u32> {
    let mut random = Random(77 ^ (rows as u64) << 32 ^ classes as u64);
    (0..rows).map(|_| (random.bits() % classes.max(1) as u64) as u32).collect()
}

/// Equal parts of an array, apart by whole pages of a device's bindings.
#[derive(Debug, Clone, Copy)]
pub struct Regions {
    length: usize,
    stride: usize,
    pub count: usize,
}

/// Where bindings and cache lines start, in bytes.
const ALIGNMENT: usize = 256;

impl Regions {
    /// `count` parts of `length` elements of a type.
    pub fn new(length: usize, dtype: Dtype, count: usize) -> Regions {
        let stride = length.next_multiple_of(ALIGNMENT / dtype.bytes() as usize);
        Regions { length, stride, count: count.max(1) }
    }

    /// Elements of the whole array.
    pub fn elements(&self) -> usize {
        self.stride * self.count
    }

    /// Where a turn's part lies.
    pub fn of_turn(&self, turn: usize) -> std::ops::Range<usize> {
        let start = turn % self.count * self.stride;
        start..start + self.length
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logits_have_outliers_and_repeat() {
        let logits: Vec<f32> = logits(DRAWN + 1000);
        let beyond = logits.iter().filter(|x| x.abs() >= 50.0).count();
        assert!((400..450).contains(&beyond), "{beyond}");
        assert!(logits.iter().all(|x| x.abs() <= 10_000.0));
        assert_eq!(logits[..1000], logits[DRAWN..]);
        let deviation =
            (logits.iter().filter(|x| x.abs() < 50.0).map(|&x| f64::from(x).powi(2)).sum::<f64>()
                / logits.len() as f64)
                .sqrt();
        assert!((deviation - 5.0).abs() < 0.02, "{deviation}");
    }

    #[test]
    fn regions_take_turns() {
        let regions = Regions::new(100, Dtype::F32, 3);
        assert_eq!((regions.of_turn(0), regions.of_turn(1), regions.of_turn(3)), (0..100, 128..228, 0..100));
        assert_eq!(regions.elements(), 384);
    }
}
