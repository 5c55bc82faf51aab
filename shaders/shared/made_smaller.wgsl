// Operands near the end of the range, made smaller so that they can be added up.

const MADE_SMALLER: f32 = 0x1p-30f;
const STEPS_SMALLER: u32 = 30u;

// value·MADE_SMALLER, 0 where that would be less than 2⁻¹²⁶. It counts in the exponent's bits: a common factor of
// the terms of a sum is what compilers take out of it, and then the sum overflows first.
fn made_smaller(value: f32) -> f32 {
    let bits = bitcast<u32>(value);
    let exponent = (bits >> 23u) & 0xffu;
    let smaller = select(0u, bits - (STEPS_SMALLER << 23u), exponent > STEPS_SMALLER);
    return bitcast<f32>(select(smaller, bits, exponent == 0xffu));
}
