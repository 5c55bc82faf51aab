// value·2^exponent for a value that is 0 or positive, and 0 where that would be less than 2⁻¹²⁶. It counts in
// the exponent's bits: a factor of 2^exponent could itself vanish where its product does not.
fn shifted(value: f32, exponent: i32) -> f32 {
    let bits = bitcast<i32>(value);
    let reached = (bits >> 23u) + exponent > 0;
    return bitcast<f32>(select(0, bits + (exponent << 23u), reached && bits > 0));
}
