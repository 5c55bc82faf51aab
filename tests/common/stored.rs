//! Arrays whose type is known at run time, so that a test can go through all mixtures of types.

use half::{bf16, f16};
use wgpu_softmax::{Dtype, Elements};

use super::rows_of_interest::{Character, Logit, special_rows};

/// Elements of one of the types that logits, operands and results have.
#[derive(Debug, Clone)]
pub enum Stored {
    F16(Vec<f16>),
    Bf16(Vec<bf16>),
    F32(Vec<f32>),
    F64(Vec<f64>),
}

macro_rules! of_each_type {
    ($stored:expr, $values:ident => $what:expr) => {
        match $stored {
            Stored::F16($values) => $what,
            Stored::Bf16($values) => $what,
            Stored::F32($values) => $what,
            Stored::F64($values) => $what,
        }
    };
}

macro_rules! same_type {
    ($stored:expr, $values:ident => $what:expr) => {
        match $stored {
            Stored::F16($values) => Stored::F16($what),
            Stored::Bf16($values) => Stored::Bf16($what),
            Stored::F32($values) => Stored::F32($what),
            Stored::F64($values) => Stored::F64($what),
        }
    };
}

/// What the types have in common for [`Stored`].
trait Number: Copy {
    fn widen(self) -> f64;
    fn bits(self) -> u64;
}

macro_rules! number {
    ($($type:ty)*) => {$(
        impl Number for $type {
            fn widen(self) -> f64 {
                self.into()
            }

            fn bits(self) -> u64 {
                self.to_bits().into()
            }
        }

        impl From<Vec<$type>> for Stored {
            fn from(values: Vec<$type>) -> Self {
                <$type as Typed>::store(values)
            }
        }
    )*};
}

trait Typed: Sized {
    fn store(values: Vec<Self>) -> Stored;
}

macro_rules! typed {
    ($($type:ident $variant:ident)*) => {$(
        impl Typed for $type {
            fn store(values: Vec<Self>) -> Stored {
                Stored::$variant(values)
            }
        }
    )*};
}

number!(f16 bf16 f32 f64);
typed!(f16 F16 bf16 Bf16 f32 F32 f64 F64);

impl Stored {
    /// `values`, each rounded to `dtype`.
    pub fn of(dtype: Dtype, values: impl IntoIterator<Item = f64>) -> Self {
        fn rounded<T: Logit>(values: impl IntoIterator<Item = f64>) -> Vec<T> {
            values.into_iter().map(T::nearest).collect()
        }
        match dtype {
            Dtype::F16 => Stored::F16(rounded(values)),
            Dtype::Bf16 => Stored::Bf16(rounded(values)),
            Dtype::F32 => Stored::F32(rounded(values)),
            _ => Stored::F64(rounded(values)),
        }
    }

    /// A row of one character.
    pub fn row(dtype: Dtype, character: Character, classes: usize, seed: u64) -> Self {
        match dtype {
            Dtype::F16 => Stored::F16(character.row(classes, seed)),
            Dtype::Bf16 => Stored::Bf16(character.row(classes, seed)),
            Dtype::F32 => Stored::F32(character.row(classes, seed)),
            _ => Stored::F64(character.row(classes, seed)),
        }
    }

    /// The special rows of the contract.
    pub fn special_rows(dtype: Dtype, classes: usize) -> Vec<Self> {
        fn rows<T: Logit>(classes: usize) -> impl Iterator<Item = Vec<T>> {
            special_rows(classes).into_iter().map(|(_, row)| row)
        }
        match dtype {
            Dtype::F16 => rows(classes).map(Stored::F16).collect(),
            Dtype::Bf16 => rows(classes).map(Stored::Bf16).collect(),
            Dtype::F32 => rows(classes).map(Stored::F32).collect(),
            _ => rows(classes).map(Stored::F64).collect(),
        }
    }

    /// Arrays of one type, one after the other.
    pub fn concatenated(dtype: Dtype, arrays: &[Self]) -> Self {
        let mut all = Stored::of(dtype, []);
        for array in arrays {
            match (&mut all, array) {
                (Stored::F16(all), Stored::F16(array)) => all.extend_from_slice(array),
                (Stored::Bf16(all), Stored::Bf16(array)) => all.extend_from_slice(array),
                (Stored::F32(all), Stored::F32(array)) => all.extend_from_slice(array),
                (Stored::F64(all), Stored::F64(array)) => all.extend_from_slice(array),
                _ => panic!("arrays of one type"),
            }
        }
        all
    }

    pub fn dtype(&self) -> Dtype {
        self.elements().dtype()
    }

    pub fn len(&self) -> usize {
        of_each_type!(self, values => values.len())
    }

    pub fn elements(&self) -> Elements<'_> {
        of_each_type!(self, values => Elements::from(values))
    }

    pub fn get(&self, place: usize) -> f64 {
        of_each_type!(self, values => values[place].widen())
    }

    pub fn widened(&self) -> Vec<f64> {
        of_each_type!(self, values => values.iter().map(|x| x.widen()).collect())
    }

    pub fn bits(&self, place: usize) -> u64 {
        of_each_type!(self, values => values[place].bits())
    }

    /// Whether an element is the one NaN that results may hold.
    pub fn is_the_nan(&self, place: usize) -> bool {
        self.bits(place)
            == match self {
                Stored::F16(_) => 0x7e00,
                Stored::Bf16(_) => 0x7fc0,
                Stored::F32(_) => 0x7fc0_0000,
                Stored::F64(_) => 0x7ff8_0000_0000_0000,
            }
    }

    /// Whether both have the same bits everywhere.
    pub fn same_bits(&self, other: &Self) -> bool {
        self.len() == other.len() && (0..self.len()).all(|place| self.bits(place) == other.bits(place))
    }

    /// Rows one after the other as columns, `inner` of them side by side in a slab; without those that fill no slab.
    pub fn side_by_side(&self, classes: usize, inner: usize) -> Self {
        let slabs = self.len() / (classes * inner);
        let places = (0..slabs).flat_map(|slab| {
            (0..classes).flat_map(move |class| (0..inner).map(move |i| (slab * inner + i) * classes + class))
        });
        self.taken(places)
    }

    /// The elements at `places`, in their order.
    pub fn taken(&self, places: impl IntoIterator<Item = usize>) -> Self {
        let places = places.into_iter();
        same_type!(self, values => places.map(|place| values[place]).collect())
    }

    /// With `value` at some places.
    pub fn replaced(&self, places: impl IntoIterator<Item = usize>, value: f64) -> Self {
        let places = places.into_iter();
        fn filled<T: Logit>(values: &[T], places: impl Iterator<Item = usize>, value: f64) -> Vec<T> {
            let mut values = values.to_vec();
            places.for_each(|place| values[place] = T::nearest(value));
            values
        }
        same_type!(self, values => filled(values, places, value))
    }
}

/// The distance between neighbouring numbers of `dtype` around a value.
pub fn unit_in_the_last_place(dtype: Dtype, value: f64) -> f64 {
    // Digits after the leading one, and the least exponent of a normal number.
    let (digits, least) = match dtype {
        Dtype::F16 => (10, -14),
        Dtype::Bf16 => (7, -126),
        Dtype::F32 => (23, -126),
        _ => (52, -1022),
    };
    let exponent = if value == 0.0 || !value.is_finite() { least } else { value.abs().log2().floor() as i32 };
    2f64.powi(exponent.max(least) - digits)
}

/// The greatest number of `dtype`.
pub fn greatest(dtype: Dtype) -> f64 {
    match dtype {
        Dtype::F16 => f16::MAX.into(),
        Dtype::Bf16 => bf16::MAX.into(),
        Dtype::F32 => f32::MAX.into(),
        _ => f64::MAX,
    }
}
