//! The element types of files, what is computed for each, and how numbers get from one to another.

use std::fmt;

use half::{bf16, f16};
use npyz::{DType, Endianness, TypeChar};
use serde::{Serialize, Serializer};
use wgpu_softmax::{Dtype, Element, Elements};

/// The type of the elements in an input file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    Bool,
    I8,
    I16,
    I32,
    I64,
    U8,
    U16,
    U32,
    U64,
    Float(Float),
}

/// The type of the elements in a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Float {
    F16,
    Bf16,
    F32,
    F64,
}

/// Evaluates an expression with a name standing for the Rust type of a [`Stored`] value.
macro_rules! with_type_of {
    ($stored:expr, $number:ident => $body:expr) => {{
        use $crate::arrays::types::{Float, Stored};
        macro_rules! arm {
            ($type:ty) => {{
                type $number = $type;
                $body
            }};
        }
        match $stored {
            Stored::Bool => arm!(bool),
            Stored::I8 => arm!(i8),
            Stored::I16 => arm!(i16),
            Stored::I32 => arm!(i32),
            Stored::I64 => arm!(i64),
            Stored::U8 => arm!(u8),
            Stored::U16 => arm!(u16),
            Stored::U32 => arm!(u32),
            Stored::U64 => arm!(u64),
            Stored::Float(Float::F16) => arm!(half::f16),
            Stored::Float(Float::Bf16) => arm!(half::bf16),
            Stored::Float(Float::F32) => arm!(f32),
            Stored::Float(Float::F64) => arm!(f64),
        }
    }};
}
pub(super) use with_type_of;

impl Stored {
    /// The type that a .npy header declares and the order of its bytes, or why its elements cannot be used.
    pub fn declared(dtype: &DType) -> Result<(Stored, Endianness), String> {
        let kinds = "what is read here is float16, float32, float64, integers and booleans";
        let DType::Plain(plain) = dtype else {
            return Err(format!("its elements are records ({}); {kinds}", dtype.descr()));
        };
        let known = match (plain.type_char(), plain.size_field()) {
            (TypeChar::Bool, 1) => Stored::Bool,
            (TypeChar::Int, 1) => Stored::I8,
            (TypeChar::Int, 2) => Stored::I16,
            (TypeChar::Int, 4) => Stored::I32,
            (TypeChar::Int, 8) => Stored::I64,
            (TypeChar::Uint, 1) => Stored::U8,
            (TypeChar::Uint, 2) => Stored::U16,
            (TypeChar::Uint, 4) => Stored::U32,
            (TypeChar::Uint, 8) => Stored::U64,
            (TypeChar::Float, 2) => Stored::Float(Float::F16),
            (TypeChar::Float, 4) => Stored::Float(Float::F32),
            (TypeChar::Float, 8) => Stored::Float(Float::F64),
            (other, _) => {
                let what = match other {
                    TypeChar::Object => "Python objects",
                    TypeChar::Complex => "complex numbers",
                    TypeChar::Float => "extended-precision numbers",
                    TypeChar::ByteStr | TypeChar::UnicodeStr => "text",
                    TypeChar::TimeDelta | TypeChar::DateTime => "times",
                    _ => "of a kind that is not read here",
                };
                return Err(format!("its elements are {what} ({plain}); {kinds}"));
            }
        };
        Ok((known, plain.endianness()))
    }

    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Stored::Bool => "bool",
            Stored::I8 => "i8",
            Stored::I16 => "i16",
            Stored::I32 => "i32",
            Stored::I64 => "i64",
            Stored::U8 => "u8",
            Stored::U16 => "u16",
            Stored::U32 => "u32",
            Stored::U64 => "u64",
            Stored::Float(float) => float.name(),
        }
    }

    /// Bytes of one element in the file.
    pub fn bytes(self) -> u64 {
        with_type_of!(self, N => size_of::<N>() as u64)
    }

    /// The result's type: the one asked for, else the input's own, where f64 stands for integers.
    pub fn result(self, asked: Option<Dtype>) -> Float {
        match (asked, self) {
            (Some(Dtype::F16), _) => Float::F16,
            (Some(Dtype::Bf16), _) => Float::Bf16,
            (Some(Dtype::F32), _) => Float::F32,
            (Some(_), _) => Float::F64,
            (None, Stored::Float(own)) => own,
            (None, _) => Float::F64,
        }
    }

    /// The type that numbers of this one are handed to the library in where `widest` is the widest there may
    /// be: their own, if it is no wider. What is computed in f64 is computed from f64.
    pub fn at_most(self, widest: Float) -> Float {
        match self {
            Stored::Float(own) if widest != Float::F64 && own.bytes() <= widest.bytes() => own,
            _ => widest,
        }
    }

    /// Whether its numbers are whole by their type, truth values aside.
    pub fn is_integer(self) -> bool {
        !matches!(self, Stored::Float(_) | Stored::Bool)
    }
}

impl Float {
    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Float::F16 => "f16",
            Float::Bf16 => "bf16",
            Float::F32 => "f32",
            Float::F64 => "f64",
        }
    }

    /// The type that a result of this type is computed in.
    pub fn computed(self) -> Float {
        if self == Float::F64 { Float::F64 } else { Float::F32 }
    }

    /// The library's name for it.
    pub fn dtype(self) -> Dtype {
        match self {
            Float::F16 => Dtype::F16,
            Float::Bf16 => Dtype::Bf16,
            Float::F32 => Dtype::F32,
            Float::F64 => Dtype::F64,
        }
    }

    /// Bytes of one element.
    pub fn bytes(self) -> u64 {
        self.dtype().bytes()
    }
}

impl fmt::Display for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Float {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for Stored {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl Serialize for Float {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// A number in a file.
pub trait Number: Copy + fmt::Display {
    /// From its bytes, the least significant first; `None` where they stand for nothing.
    fn decoded(bytes: &[u8]) -> Option<Self>;

    /// The same, the most significant first.
    fn decoded_backwards(bytes: &[u8]) -> Option<Self>;

    /// The nearest f32.
    fn single(self) -> f32;

    /// The nearest f64.
    fn double(self) -> f64;

    /// An f32 that 16 bits round as they would round the number itself: where it is not the number, it is the
    /// neighbour whose last bit is set (Boldo and Melquiond's rounding to odd).
    fn sticky(self) -> f32;

    /// The whole number that it is; `None` for those of types that have others.
    fn whole(self) -> Option<i128>;
}

macro_rules! integers {
    ($($type:ty)*) => {$(
        impl Number for $type {
            fn decoded(bytes: &[u8]) -> Option<Self> {
                bytes.try_into().ok().map(<$type>::from_le_bytes)
            }
            fn decoded_backwards(bytes: &[u8]) -> Option<Self> {
                bytes.try_into().ok().map(<$type>::from_be_bytes)
            }
            fn single(self) -> f32 {
                self as f32
            }
            fn double(self) -> f64 {
                self as f64
            }
            fn sticky(self) -> f32 {
                // More bits than f64 holds: those it lacks become one, far behind the ones that 16 bits keep.
                let magnitude = i128::from(self).unsigned_abs();
                let folded = if magnitude < 1 << 53 {
                    magnitude
                } else {
                    magnitude >> 11 << 11 | u128::from(magnitude % (1 << 11) != 0) << 11
                };
                let folded = to_odd(folded as f64);
                if i128::from(self) < 0 { -folded } else { folded }
            }
            fn whole(self) -> Option<i128> {
                Some(self.into())
            }
        }
    )*};
}
integers!(i8 i16 i32 i64 u8 u16 u32 u64);

impl Number for bool {
    fn decoded(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [0] => Some(false),
            [1] => Some(true),
            _ => None,
        }
    }
    fn decoded_backwards(bytes: &[u8]) -> Option<Self> {
        bool::decoded(bytes)
    }
    fn single(self) -> f32 {
        f32::from(u8::from(self))
    }
    fn double(self) -> f64 {
        f64::from(u8::from(self))
    }
    fn sticky(self) -> f32 {
        self.single()
    }
    fn whole(self) -> Option<i128> {
        Some(self.into())
    }
}

macro_rules! floats {
    ($($type:ty, $value:ident: $single:expr, $double:expr, $sticky:expr;)*) => {$(
        impl Number for $type {
            fn decoded(bytes: &[u8]) -> Option<Self> {
                bytes.try_into().ok().map(<$type>::from_le_bytes)
            }
            fn decoded_backwards(bytes: &[u8]) -> Option<Self> {
                bytes.try_into().ok().map(<$type>::from_be_bytes)
            }
            fn single(self) -> f32 {
                let $value = self;
                $single
            }
            fn double(self) -> f64 {
                let $value = self;
                $double
            }
            fn sticky(self) -> f32 {
                let $value = self;
                $sticky
            }
            fn whole(self) -> Option<i128> {
                None
            }
        }
    )*};
}
floats! {
    f16, value: value.to_f32(), value.to_f64(), value.to_f32();
    bf16, value: value.to_f32(), value.to_f64(), value.to_f32();
    f32, value: value, value.into(), value;
    f64, value: value as f32, value, to_odd(value);
}

/// `value` in f32, rounded to odd.
fn to_odd(value: f64) -> f32 {
    let nearest = value as f32;
    let error = f64::from(nearest).abs() - value.abs();
    if nearest.is_nan() || error == 0.0 || value.is_infinite() {
        return nearest;
    }
    let towards_zero = nearest.to_bits() - u32::from(error > 0.0);
    f32::from_bits(towards_zero | 1)
}

/// What a file's numbers are turned into.
pub trait Taken: Copy + Default {
    /// What a number is not that cannot be turned into it.
    const WANTED: &str;

    fn taken(number: impl Number) -> Option<Self>;
}

macro_rules! taken {
    ($($type:ty, $wanted:literal, $number:ident: $taken:expr;)*) => {$(
        impl Taken for $type {
            const WANTED: &str = $wanted;

            fn taken($number: impl Number) -> Option<Self> {
                $taken
            }
        }
    )*};
}
taken! {
    // half's conversions of f64 round twice.
    f16, "a number", number: Some(f16::from_f32(number.sticky()));
    bf16, "a number", number: Some(bf16::from_f32(number.sticky()));
    f32, "a number", number: Some(number.single());
    f64, "a number", number: Some(number.double());
    i64, "a whole number of 64 bits", number: number.whole()?.try_into().ok();
    u64, "a whole number from 0 on", number: number.whole()?.try_into().ok();
    bool, "0 or 1", number: match number.whole()? {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    };
}

/// A number that reports show.
pub trait Decimal: Copy + PartialOrd {
    /// The shortest decimal number that tells this value from its neighbours.
    fn decimal(self) -> f64;
}

/// A type that results are computed for and written in.
pub trait Written: Element<Computed: Decimal> + Decimal {
    const FLOAT: Float;
}

macro_rules! written {
    ($($type:ident, $variant:ident, $value:ident: $decimal:expr;)*) => {$(
        impl Written for $type {
            const FLOAT: Float = Float::$variant;
        }

        impl Decimal for $type {
            fn decimal(self) -> f64 {
                let $value = self;
                $decimal
            }
        }
    )*};
}
written! {
    f16, F16, value: value.to_f64();
    bf16, Bf16, value: value.to_f64();
    // 0.1f32 is 0.1 to its reader, not 0.10000000149011612.
    f32, F32, value: value.to_string().parse().unwrap_or(f64::from(value));
    f64, F64, value: value;
}

/// Real numbers of a type that is known at run time.
#[derive(Debug, Clone)]
pub enum Numbers {
    F16(Vec<f16>),
    Bf16(Vec<bf16>),
    F32(Vec<f32>),
    F64(Vec<f64>),
}

impl Default for Numbers {
    fn default() -> Numbers {
        Numbers::F32(Vec::new())
    }
}

impl Numbers {
    /// The same for the library.
    pub fn elements(&self) -> Elements<'_> {
        match self {
            Numbers::F16(values) => values.into(),
            Numbers::Bf16(values) => values.into(),
            Numbers::F32(values) => values.into(),
            Numbers::F64(values) => values.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ties and their neighbours, which rounding by way of f32 would take for ties.
    #[test]
    fn wide_numbers_are_rounded_once() {
        let (half, tie) = (2f64.powi(-11), 1.0 + 2f64.powi(-11));
        for (number, expected) in [
            (tie, 1.0),
            (tie + 2f64.powi(-40), 1.0 + 2.0 * half),
            (tie - 2f64.powi(-40), 1.0),
            (1.0 + 3.0 * half - 2f64.powi(-40), 1.0 + 2.0 * half),
            (-(tie + 2f64.powi(-40)), -1.0 - 2.0 * half),
            (65_519.999_999_999, 65504.0),
            (65520.0, f64::INFINITY),
            (1e300, f64::INFINITY),
            (-1e300, f64::NEG_INFINITY),
            (2f64.powi(-25), 0.0),
            (2f64.powi(-25) + 2f64.powi(-60), 2f64.powi(-24)),
            (1e-320, 0.0),
        ] {
            assert_eq!(f16::taken(number).unwrap().to_f64(), expected, "{number}");
        }
        assert!(f16::taken(f64::NAN).unwrap().is_nan());
        assert_eq!(f16::taken(-0.0f64).unwrap().to_bits(), 0x8000);
        assert_eq!(bf16::taken(f64::NEG_INFINITY), Some(bf16::NEG_INFINITY));
        assert_eq!(bf16::taken(f64::MAX), Some(bf16::INFINITY));
        // A tie of bf16 at 2⁶², and one more.
        let tie = (1i64 << 62) + (1 << 54);
        for (number, expected) in [(tie, 1i64 << 62), (tie + 1, (1 << 62) + (1 << 55)), (tie - 1, 1 << 62)] {
            assert_eq!(bf16::taken(number).unwrap().to_f64(), expected as f64);
            assert_eq!(bf16::taken(-number).unwrap().to_f64(), -(expected as f64));
        }
        assert_eq!(bf16::taken(u64::MAX).unwrap().to_f64(), 2f64.powi(64));
    }

    #[test]
    fn whole_numbers_stay_whole_or_are_refused() {
        assert_eq!(i64::taken(u64::MAX), None);
        assert_eq!(i64::taken(i64::MIN), Some(i64::MIN));
        assert_eq!((u64::taken(-1i8), u64::taken(7u16)), (None, Some(7)));
        assert_eq!((bool::taken(2u8), bool::taken(1i64), bool::taken(1.0f32)), (None, Some(true), None));
    }
}
