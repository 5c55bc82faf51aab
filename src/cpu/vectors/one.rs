//! A single number.

use super::Arithmetic;
use crate::cpu::instruction_set::Machine;
use crate::cpu::real::Real;

/// One number, in the arithmetic of a machine: what of a loop over them the compiler makes vectors of, if it can.
#[derive(Clone, Copy)]
pub struct One<T, M>(pub T, pub M);

impl<T: Real, M: Machine> Arithmetic for One<T, M> {
    type Number = T;

    #[inline(always)]
    fn constant(self, number: T) -> Self {
        One(number, self.1)
    }

    #[inline(always)]
    fn plus(self, other: Self) -> Self {
        One(self.0 + other.0, self.1)
    }

    #[inline(always)]
    fn minus(self, other: Self) -> Self {
        One(self.0 - other.0, self.1)
    }

    #[inline(always)]
    fn times(self, factor: Self) -> Self {
        One(self.0 * factor.0, self.1)
    }

    #[inline(always)]
    fn times_plus(self, factor: Self, addend: Self) -> Self {
        // Where there is no such instruction, `mul_add` is a call of some hundred.
        One(if M::FUSED { self.0.mul_add(factor.0, addend.0) } else { self.0 * factor.0 + addend.0 }, self.1)
    }

    #[inline(always)]
    fn at_least(self, bound: Self) -> Self {
        if self.0 < bound.0 { bound } else { self }
    }

    #[inline(always)]
    fn zero_where_less(self, x: Self, bound: Self) -> Self {
        One(if x.0 < bound.0 { T::ZERO } else { self.0 }, self.1)
    }

    #[inline(always)]
    fn power_of_two(self) -> Self {
        One(self.0.power_of_two(), self.1)
    }
}
