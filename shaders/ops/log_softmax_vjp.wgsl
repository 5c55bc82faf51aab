// A cotangent v pulled back through log-softmax: v − p·Σv.

const MASKED_RESULT: u32 = 0u;

fn element_result(bits: u32, other: u32, j: u32, row: Finish) -> u32 {
    let value = (bitcast<f32>(other) - probability(bits, row) * row.beside) * inverse_temperature();
    return select(bitcast<u32>(value), row.special, row.is_special);
}
