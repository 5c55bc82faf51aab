//! What every machine of the target has, by way of the crate `wide`: SSE2, NEON, WebAssembly's vectors, or none.

#![expect(unused_unsafe, reason = "what the vectors of other machines are made of is")]

use wide::{f32x16, f64x8, u32x16, u64x8};

use super::registers::{compensated_sums, permuted_in_memory, vector_of_registers};
use super::{Arithmetic, LANES, Vector};
use crate::cpu::instruction_set::Baseline;

vector_of_registers! {
    /// Sixteen f32. SAFETY of all that is below: nothing about it is unsafe.
    F32x16([f32x16; 1], 16 lanes of f32, for Baseline);
    constant(number) => f32x16::splat(number);
    load(numbers) => f32x16::new(*numbers.first_chunk().unwrap_or(&[0.0; 16]));
    store(register, places) => places.copy_from_slice(register.as_array());
    first(register) => register.as_array()[0];
    plus(a, b) => a + b;
    minus(a, b) => a - b;
    times(a, b) => a * b;
    over(a, b) => a / b;
    times_plus(a, b, c) => a.mul_add(b, c);
    greater_or_second(a, b) => a.simd_gt(b).bitselect(a, b);
    zero_where_less(a, x, y) => x.simd_lt(y).bitselect(f32x16::ZERO, a);
    zero_where_equal(a, x, y) => x.simd_eq(y).bitselect(f32x16::ZERO, a);
    one_where_equal(x, y) => x.simd_eq(y).bitselect(f32x16::ONE, f32x16::ZERO);
    kept_in(a, lanes, b) => {
        let mut kept = [0; 16];
        for (lane, kept) in kept.iter_mut().enumerate() {
            *kept = if lanes >> lane & 1 == 1 { u32::MAX } else { 0 };
        }
        bytemuck::cast::<_, f32x16>(kept).bitselect(a, b)
    };
    lanes_at_least(a, b) => a.simd_ge(b).to_bitmask();
    lanes_of_nan(a) => a.is_nan().to_bitmask();
    power_of_two(a) => bytemuck::cast::<_, f32x16>(bytemuck::cast::<_, u32x16>(a) << 23u32);

    type Sums = [f64; LANES];

    permuted_in_memory!();

    #[inline(always)]
    fn no_sums(_: Baseline) -> [f64; LANES] {
        [0.0; LANES]
    }

    #[inline(always)]
    fn add_to(self, sums: &mut [f64; LANES]) {
        for (sum, &number) in sums.iter_mut().zip(self.0[0].as_array()) {
            *sum += f64::from(number);
        }
    }

    #[inline(always)]
    fn join(sums: &mut [f64; LANES], others: &[f64; LANES]) {
        for (sum, other) in sums.iter_mut().zip(others) {
            *sum += other;
        }
    }

    #[inline(always)]
    fn parts(sums: &[f64; LANES]) -> [[f64; LANES]; 2] {
        [*sums, [0.0; LANES]]
    }
}

vector_of_registers! {
    /// Sixteen f64. SAFETY of all that is below: nothing about it is unsafe.
    F64x16([f64x8; 2], 8 lanes of f64, for Baseline);
    constant(number) => f64x8::splat(number);
    load(numbers) => f64x8::new(*numbers.first_chunk().unwrap_or(&[0.0; 8]));
    store(register, places) => places.copy_from_slice(register.as_array());
    first(register) => register.as_array()[0];
    plus(a, b) => a + b;
    minus(a, b) => a - b;
    times(a, b) => a * b;
    over(a, b) => a / b;
    times_plus(a, b, c) => a.mul_add(b, c);
    greater_or_second(a, b) => a.simd_gt(b).bitselect(a, b);
    zero_where_less(a, x, y) => x.simd_lt(y).bitselect(f64x8::ZERO, a);
    zero_where_equal(a, x, y) => x.simd_eq(y).bitselect(f64x8::ZERO, a);
    one_where_equal(x, y) => x.simd_eq(y).bitselect(f64x8::ONE, f64x8::ZERO);
    kept_in(a, lanes, b) => {
        let mut kept = [0; 8];
        for (lane, kept) in kept.iter_mut().enumerate() {
            *kept = if lanes >> lane & 1 == 1 { u64::MAX } else { 0 };
        }
        bytemuck::cast::<_, f64x8>(kept).bitselect(a, b)
    };
    lanes_at_least(a, b) => a.simd_ge(b).to_bitmask();
    lanes_of_nan(a) => a.is_nan().to_bitmask();
    power_of_two(a) => bytemuck::cast::<_, f64x8>(bytemuck::cast::<_, u64x8>(a) << 52u32);

    compensated_sums!(Baseline);
    permuted_in_memory!();
}
