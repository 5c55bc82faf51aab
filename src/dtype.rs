//! The types of element that logits are stored in.

use std::fmt;

use half::{bf16, f16};

use crate::cpu::{Real, sixteen_bits};

/// The storage type of logits and results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Dtype {
    /// IEEE 754 binary16, computed in f32.
    F16,
    /// The upper half of a binary32, computed in f32.
    Bf16,
    /// IEEE 754 binary32: on every GPU and on the CPU.
    F32,
    /// IEEE 754 binary64: on the CPU alone.
    F64,
}

impl Dtype {
    /// All types, the narrowest first.
    pub const ALL: [Dtype; 4] = [Dtype::F16, Dtype::Bf16, Dtype::F32, Dtype::F64];

    /// The types that a GPU loads and stores.
    pub const ON_GPU: [Dtype; 3] = [Dtype::F16, Dtype::Bf16, Dtype::F32];

    /// Bytes of one element.
    pub fn bytes(self) -> u64 {
        match self {
            Dtype::F16 | Dtype::Bf16 => 2,
            Dtype::F32 => 4,
            Dtype::F64 => 8,
        }
    }

    /// The type that elements of this one are computed in: [`Dtype::F32`] unless they are wider.
    pub fn computed(self) -> Dtype {
        if self == Dtype::F64 { Dtype::F64 } else { Dtype::F32 }
    }

    /// The name used on the command line and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Dtype::F16 => "f16",
            Dtype::Bf16 => "bf16",
            Dtype::F32 => "f32",
            Dtype::F64 => "f64",
        }
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A Rust type that logits and results may have: `f32`, `f64`, and [`half`]'s `f16` and `bf16`.
///
/// Sealed: the kernels of each device are written for these.
pub trait Element: bytemuck::Pod + Default + fmt::Debug + PartialOrd + Send + Sync + sealed::Sealed {
    /// The same type as a value.
    const DTYPE: Dtype;

    /// The type that it is computed in: f64 for itself, f32 for all others.
    type Computed: Real + Element;

    /// The same number in the type that it is computed in.
    fn computed(self) -> Self::Computed;

    /// The nearest number of this type.
    fn rounded(value: Self::Computed) -> Self;

    /// A slice whose type is known at run time.
    fn elements(slice: &[Self]) -> Elements<'_>;

    /// A slice whose type is known at run time, to be written.
    fn elements_mut(slice: &mut [Self]) -> ElementsMut<'_>;
}

mod sealed {
    pub trait Sealed {}
}

macro_rules! elements {
    ($($type:ident, $variant:ident, $computed:ident, $value:ident: $widened:expr, $rounded:expr;)*) => {
        $(
            impl sealed::Sealed for $type {}

            impl Element for $type {
                const DTYPE: Dtype = Dtype::$variant;
                type Computed = $computed;

                #[inline(always)]
                fn computed(self) -> $computed {
                    let $value = self;
                    $widened
                }

                #[inline(always)]
                fn rounded($value: $computed) -> Self {
                    $rounded
                }

                fn elements(slice: &[Self]) -> Elements<'_> {
                    Elements::$variant(slice)
                }

                fn elements_mut(slice: &mut [Self]) -> ElementsMut<'_> {
                    ElementsMut::$variant(slice)
                }
            }
        )*

        /// A slice of elements whose type is known at run time.
        ///
        /// ```
        /// use wgpu_softmax::{Dtype, Elements};
        /// let logits = Elements::from(&[0.5f32, 1.5]);
        /// assert_eq!((logits.dtype(), logits.len()), (Dtype::F32, 2));
        /// ```
        #[derive(Debug, Clone, Copy)]
        #[non_exhaustive]
        pub enum Elements<'a> {
            $(#[doc = concat!("Elements of ", stringify!($type), ".")] $variant(&'a [$type]),)*
        }

        /// A slice of elements whose type is known at run time, to be written.
        #[derive(Debug)]
        #[non_exhaustive]
        pub enum ElementsMut<'a> {
            $(#[doc = concat!("Elements of ", stringify!($type), ".")] $variant(&'a mut [$type]),)*
        }

        impl Elements<'_> {
            /// The type.
            pub fn dtype(&self) -> Dtype {
                match self { $(Elements::$variant(_) => Dtype::$variant,)* }
            }

            /// How many there are.
            pub fn len(&self) -> usize {
                match self { $(Elements::$variant(slice) => slice.len(),)* }
            }

            /// Whether there is none.
            pub fn is_empty(&self) -> bool {
                self.len() == 0
            }

            /// One of them in f64, which holds every number of every type.
            ///
            /// `None` beyond the end.
            pub fn get(&self, index: usize) -> Option<f64> {
                match self {
                    $(Elements::$variant(slice) => slice.get(index).map(|x| x.computed().widen()),)*
                }
            }
        }

        impl ElementsMut<'_> {
            /// The same elements, lent for a while.
            pub(crate) fn lent(&mut self) -> ElementsMut<'_> {
                match self { $(ElementsMut::$variant(slice) => ElementsMut::$variant(slice),)* }
            }

            /// The type.
            pub fn dtype(&self) -> Dtype {
                match self { $(ElementsMut::$variant(_) => Dtype::$variant,)* }
            }

            /// How many there are.
            pub fn len(&self) -> usize {
                match self { $(ElementsMut::$variant(slice) => slice.len(),)* }
            }

            /// Whether there is none.
            pub fn is_empty(&self) -> bool {
                self.len() == 0
            }
        }
    };
}

elements! {
    f16, F16, f32, value: sixteen_bits::f16_to_f32(value), sixteen_bits::f32_to_f16(value);
    bf16, Bf16, f32, value: sixteen_bits::bf16_to_f32(value), sixteen_bits::f32_to_bf16(value);
    f32, F32, f32, value: value, value;
    f64, F64, f64, value: value, value;
}

impl<'a, T: Element> From<&'a [T]> for Elements<'a> {
    fn from(slice: &'a [T]) -> Self {
        T::elements(slice)
    }
}

impl<'a, T: Element, const LENGTH: usize> From<&'a [T; LENGTH]> for Elements<'a> {
    fn from(array: &'a [T; LENGTH]) -> Self {
        T::elements(array)
    }
}

impl<'a, T: Element> From<&'a Vec<T>> for Elements<'a> {
    fn from(vector: &'a Vec<T>) -> Self {
        T::elements(vector)
    }
}
