//! The element types of files, what is computed for each, and how numbers get from one to another.

use std::fmt;

use half::f16;
use npyz::{DType, TypeChar};
use serde::{Serialize, Serializer};
use wgpu_softmax::{Dtype, Element};

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
            Stored::Float(Float::F32) => arm!(f32),
            Stored::Float(Float::F64) => arm!(f64),
        }
    }};
}
pub(super) use with_type_of;

impl Stored {
    /// The type that a header declares, or why its elements are no logits.
    pub fn declared(dtype: &DType) -> Result<Stored, String> {
        let kinds = "logits are real numbers: float16, float32, float64, integers or booleans";
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
        Ok(known)
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
            (Some(Dtype::F32), _) => Float::F32,
            (Some(_), _) => Float::F64,
            (None, Stored::Float(own)) => own,
            (None, _) => Float::F64,
        }
    }
}

impl Float {
    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Float::F16 => "f16",
            Float::F32 => "f32",
            Float::F64 => "f64",
        }
    }

    /// The type that a result of this type is computed in.
    pub fn computed(self) -> Dtype {
        match self {
            Float::F16 | Float::F32 => Dtype::F32,
            Float::F64 => Dtype::F64,
        }
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

/// A number in a file. Either conversion rounds once, to nearest.
pub trait Number: npyz::Deserialize {
    fn single(self) -> f32;
    fn double(self) -> f64;
}

macro_rules! primitive_numbers {
    ($($type:ty)*) => {$(
        impl Number for $type {
            fn single(self) -> f32 {
                self as f32
            }
            fn double(self) -> f64 {
                self as f64
            }
        }
    )*};
}
primitive_numbers!(i8 i16 i32 i64 u8 u16 u32 u64 f32 f64);

impl Number for bool {
    fn single(self) -> f32 {
        f32::from(u8::from(self))
    }
    fn double(self) -> f64 {
        f64::from(u8::from(self))
    }
}

impl Number for f16 {
    fn single(self) -> f32 {
        self.to_f32()
    }
    fn double(self) -> f64 {
        self.to_f64()
    }
}

/// A type that is computed in.
pub trait Computed: Element {
    /// The nearest number of this type.
    fn nearest(number: impl Number) -> Self;
}

impl Computed for f32 {
    fn nearest(number: impl Number) -> f32 {
        number.single()
    }
}

impl Computed for f64 {
    fn nearest(number: impl Number) -> f64 {
        number.double()
    }
}

/// A type that results are written in.
pub trait Written: npyz::AutoSerialize + Copy + PartialOrd {
    /// The shortest decimal number that tells this value from its neighbours, for reports.
    fn decimal(self) -> f64;
}

impl Written for f16 {
    fn decimal(self) -> f64 {
        self.to_f64()
    }
}

impl Written for f32 {
    fn decimal(self) -> f64 {
        // 0.1f32 is 0.1 to its reader, not 0.10000000149011612.
        self.to_string().parse().unwrap_or(f64::from(self))
    }
}

impl Written for f64 {
    fn decimal(self) -> f64 {
        self
    }
}
