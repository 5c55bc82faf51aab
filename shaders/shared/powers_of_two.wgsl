// 2^exponent, and 0 where that would be less than 2⁻¹²⁶.
fn power_of_two(exponent: i32) -> f32 {
    return bitcast<f32>(u32(clamp(exponent, -127, 127) + 127) << 23u);
}
