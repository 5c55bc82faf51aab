//! What every machine of the target has, by way of the crate `wide`: SSE2, NEON, WebAssembly's vectors, or none.

#![expect(unused_unsafe, reason = "what the vectors of other machines are made of is")]

use wide::{f32x4, f32x16, f64x8};

use super::registers::{compensated_sums, permuted_in_memory, vector_of_registers};
use super::{LANES, Vector};
use crate::cpu::instruction_set::Baseline;

/// A vector made of one of the crate's types, which all have the same operations.
macro_rules! vector_of_wide {
    (
        $(#[$about:meta])*
        $name:ident([$register:ident; $registers:literal], $lanes:literal lanes of $number:ty);
        bits($lane_bits:ty), eighths shifted by $shift:literal;
        $($special:item)*
    ) => {
        vector_of_registers! {
            $(#[$about])*
            $name([$register; $registers], $lanes lanes of $number, for Baseline);
            constant(number) => $register::splat(number);
            load(numbers) => $register::new(*numbers.first_chunk().unwrap_or(&[0.0; $lanes]));
            store(register, places) => places.copy_from_slice(register.as_array());
            first(register) => register.as_array()[0];
            plus(a, b) => a + b;
            minus(a, b) => a - b;
            times(a, b) => a * b;
            over(a, b) => a / b;
            times_plus(a, b, c) => a.mul_add(b, c);
            greater_or_second(a, b) => a.simd_gt(b).bitselect(a, b);
            zero_where_equal(a, x, y) => x.simd_eq(y).bitselect($register::ZERO, a);
            counted_where_equal(a, x, y) => a + x.simd_eq(y).bitselect($register::ONE, $register::ZERO);
            kept_in(a, lanes, b) => {
                let mut kept = [0; $lanes];
                for (lane, kept) in kept.iter_mut().enumerate() {
                    *kept = if lanes >> lane & 1 == 1 { <$lane_bits>::MAX } else { 0 };
                }
                bytemuck::cast::<_, $register>(kept).bitselect(a, b)
            };
            lanes_at_least(a, b) => a.simd_ge(b).to_bitmask();
            lanes_of_nan(a) => a.is_nan().to_bitmask();
            power_of_two(a, table) => {
                let mut powers = [0.0; $lanes];
                for (power, rounded) in powers.iter_mut().zip(a.as_array()) {
                    let bits = rounded.to_bits();
                    let entry = table[(bits & 7) as usize].to_bits();
                    *power = <$number>::from_bits(entry.wrapping_add(bits << $shift));
                }
                $register::new(powers)
            };
            $($special)*
        }
    };
}

vector_of_wide! {
    /// Sixteen f32. SAFETY of all that is below: nothing about it is unsafe.
    F32x16([f32x16; 1], 16 lanes of f32);
    bits(u32), eighths shifted by 20;

    type Sums = [f64; LANES];

    permuted_in_memory!();

    #[inline(always)]
    fn load_transposed(_: Baseline, rows: &[f32], pitch: usize, classes: &mut [Self]) {
        let Some(rows) = rows.get(..(LANES - 1) * pitch + classes.len()) else { return };
        for (four, classes) in classes.as_chunks_mut::<4>().0.iter_mut().enumerate() {
            for first in (0..LANES).step_by(4) {
                let mut of_rows = [f32x4::ZERO; 4];
                for (row, register) in of_rows.iter_mut().enumerate() {
                    let numbers = rows[(first + row) * pitch + 4 * four..].first_chunk();
                    *register = f32x4::new(*numbers.unwrap_or(&[0.0; 4]));
                }
                for (class, register) in classes.iter_mut().zip(f32x4::transpose(of_rows)) {
                    class.0[0].as_mut_array()[first..first + 4].copy_from_slice(register.as_array());
                }
            }
        }
    }

    #[inline(always)]
    fn store_transposed(classes: &[Self], rows: &mut [f32], pitch: usize) {
        let Some(rows) = rows.get_mut(..(LANES - 1) * pitch + classes.len()) else { return };
        for (four, classes) in classes.as_chunks::<4>().0.iter().enumerate().rev() {
            for first in (0..LANES).step_by(4) {
                let mut of_classes = [f32x4::ZERO; 4];
                for (register, class) in of_classes.iter_mut().zip(classes) {
                    let numbers = class.0[0].as_array()[first..].first_chunk();
                    *register = f32x4::new(*numbers.unwrap_or(&[0.0; 4]));
                }
                for (row, register) in f32x4::transpose(of_classes).iter().enumerate() {
                    let places = &mut rows[(first + row) * pitch + 4 * four..][..4];
                    places.copy_from_slice(register.as_array());
                }
            }
        }
    }

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

vector_of_wide! {
    /// Sixteen f64. SAFETY of all that is below: nothing about it is unsafe.
    F64x16([f64x8; 2], 8 lanes of f64);
    bits(u64), eighths shifted by 49;

    compensated_sums!(Baseline);
    permuted_in_memory!();
}
