//! What is common to all vectors that are made of registers: each operation is one of registers, for all of them.

/// Makes a vector type of so many registers of so many lanes each, given what is done to one register.
macro_rules! vector_of_registers {
    (
        $(#[$about:meta])*
        $name:ident([$register:ty; $registers:literal], $lanes:literal lanes of $number:ty, for $machine:ty);
        constant($constant:ident) => $constant_of:expr;
        load($load:ident) => $loaded:expr;
        store($store:ident, $place:ident) => $stored:expr;
        first($first:ident) => $first_of:expr;
        plus($plus_a:ident, $plus_b:ident) => $plus:expr;
        minus($minus_a:ident, $minus_b:ident) => $minus:expr;
        times($times_a:ident, $times_b:ident) => $times:expr;
        over($over_a:ident, $over_b:ident) => $over:expr;
        times_plus($fused_a:ident, $fused_b:ident, $fused_c:ident) => $fused:expr;
        greater_or_second($greater_a:ident, $greater_b:ident) => $greater:expr;
        zero_where_equal($equal_a:ident, $equal_x:ident, $equal_y:ident) => $equal:expr;
        counted_where_equal($counted_a:ident, $counted_x:ident, $counted_y:ident) => $counted:expr;
        kept_in($kept_a:ident, $kept_lanes:ident, $kept_b:ident) => $kept:expr;
        lanes_at_least($bound_a:ident, $bound_b:ident) => $bound:expr;
        lanes_of_nan($nan:ident) => $nans:expr;
        power_of_two($rounded:ident, $table:ident) => $power:expr;
        $($special:item)*
    ) => {
        $(#[$about])*
        #[derive(Clone, Copy)]
        pub struct $name([$register; $registers]);

        impl $name {
            /// From memory, what `self` was made for.
            #[inline(always)]
            fn reloaded(mut self, numbers: &[$number; LANES]) -> Self {
                for register in 0..$registers {
                    let $load = &numbers[register * $lanes..][..$lanes];
                    // SAFETY: as the type says.
                    self.0[register] = unsafe { $loaded };
                }
                self
            }
        }

        impl Vector for $name {
            type Number = $number;
            type Machine = $machine;

            #[inline(always)]
            fn constant(self, $constant: $number) -> Self {
                // SAFETY: as the type says.
                $name([unsafe { $constant_of }; $registers])
            }

            vector_of_registers!(@join plus, $register, $registers, $plus_a, $plus_b, $plus);
            vector_of_registers!(@join minus, $register, $registers, $minus_a, $minus_b, $minus);
            vector_of_registers!(@join times, $register, $registers, $times_a, $times_b, $times);

            #[inline(always)]
            fn times_plus(mut self, factor: Self, addend: Self) -> Self {
                for register in 0..$registers {
                    let ($fused_a, $fused_b, $fused_c) = (self.0[register], factor.0[register], addend.0[register]);
                    // SAFETY: as the type says.
                    self.0[register] = unsafe { $fused };
                }
                self
            }

            #[inline(always)]
            fn power_of_two(mut self, $table: &[$number; 8]) -> Self {
                for register in 0..$registers {
                    let $rounded = self.0[register];
                    // SAFETY: as the type says.
                    self.0[register] = unsafe { $power };
                }
                self
            }

            #[inline(always)]
            fn splat(_: $machine, $constant: $number) -> Self {
                // SAFETY: as the type says.
                $name([unsafe { $constant_of }; $registers])
            }

            #[inline(always)]
            fn load(machine: $machine, numbers: &[$number; LANES]) -> Self {
                Self::splat(machine, 0.0).reloaded(numbers)
            }

            #[inline(always)]
            fn store(self, places: &mut [$number; LANES]) {
                for register in 0..$registers {
                    let $store = self.0[register];
                    let $place = &mut places[register * $lanes..][..$lanes];
                    // SAFETY: as the type says.
                    unsafe { $stored };
                }
            }

            #[inline(always)]
            fn first(self) -> $number {
                let $first = self.0[0];
                // SAFETY: as the type says.
                unsafe { $first_of }
            }

            vector_of_registers!(@join over, $register, $registers, $over_a, $over_b, $over);
            // The second where either is NaN, and of equal ones.
            vector_of_registers!(@join larger, $register, $registers, $greater_b, $greater_a, $greater);

            #[inline(always)]
            fn zero_where_equal(mut self, x: Self, y: Self) -> Self {
                for register in 0..$registers {
                    let ($equal_a, $equal_x, $equal_y) = (self.0[register], x.0[register], y.0[register]);
                    // SAFETY: as the type says.
                    self.0[register] = unsafe { $equal };
                }
                self
            }

            #[inline(always)]
            fn counted_where_equal(mut self, x: Self, y: Self) -> Self {
                for register in 0..$registers {
                    let ($counted_a, $counted_x, $counted_y) = (self.0[register], x.0[register], y.0[register]);
                    // SAFETY: as the type says.
                    self.0[register] = unsafe { $counted };
                }
                self
            }

            #[inline(always)]
            fn kept_in(mut self, lanes: u16, other: Self) -> Self {
                for register in 0..$registers {
                    let $kept_lanes = lanes >> (register * $lanes);
                    let ($kept_a, $kept_b) = (self.0[register], other.0[register]);
                    // SAFETY: as the type says.
                    self.0[register] = unsafe { $kept };
                }
                self
            }

            #[inline(always)]
            fn lanes_at_least(self, bound: Self) -> u16 {
                let mut lanes = 0;
                for register in 0..$registers {
                    let ($bound_a, $bound_b) = (self.0[register], bound.0[register]);
                    // SAFETY: as the type says.
                    lanes |= (unsafe { $bound } as u16) << (register * $lanes);
                }
                lanes
            }

            #[inline(always)]
            fn lanes_of_nan(self) -> u16 {
                let mut lanes = 0;
                for register in 0..$registers {
                    let $nan = self.0[register];
                    // SAFETY: as the type says.
                    lanes |= (unsafe { $nans } as u16) << (register * $lanes);
                }
                lanes
            }

            $($special)*
        }
    };

    (@join $name:ident, $register:ty, $registers:literal, $a:ident, $b:ident, $joined:expr) => {
        #[inline(always)]
        fn $name(mut self, other: Self) -> Self {
            for register in 0..$registers {
                let ($a, $b): ($register, $register) = (self.0[register], other.0[register]);
                // SAFETY: as the type says.
                self.0[register] = unsafe { $joined };
            }
            self
        }
    };
}

/// The sums of vectors of f64: each with its rounding errors summed beside it.
macro_rules! compensated_sums {
    ($machine:ty) => {
        type Sums = [Self; 2];

        #[inline(always)]
        fn no_sums(machine: $machine) -> [Self; 2] {
            [Self::splat(machine, 0.0); 2]
        }

        #[inline(always)]
        fn add_to(self, [high, low]: &mut [Self; 2]) {
            let (sum, error) = super::two_sum(*high, self);
            (*high, *low) = (sum, low.plus(error));
        }

        #[inline(always)]
        fn join([high, low]: &mut [Self; 2], [other_high, other_low]: &[Self; 2]) {
            let (sum, error) = super::two_sum(*high, *other_high);
            (*high, *low) = (sum, low.plus(*other_low).plus(error));
        }

        #[inline(always)]
        fn parts([high, low]: &[Self; 2]) -> [[f64; LANES]; 2] {
            [high.numbers(), low.numbers()]
        }
    };
}

/// A permutation by way of memory.
macro_rules! permuted_in_memory {
    () => {
        #[inline(always)]
        fn permuted(self, places: &[u32; LANES]) -> Self {
            let numbers = self.numbers();
            let mut permuted = [0.0; LANES];
            for (number, place) in permuted.iter_mut().zip(places) {
                *number = numbers[(place & 15) as usize];
            }
            self.reloaded(&permuted)
        }
    };
}

pub(super) use {compensated_sums, permuted_in_memory, vector_of_registers};
