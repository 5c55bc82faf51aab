// A cotangent v pulled back through log-softmax: v − p·Σv.

const MASKED_RESULT: u32 = 0u;

fn element_result(bits: u32, other: u32, j: u32, row: Finish) -> u32 {
    let product = probability(bits, row) * row.beside;
    let whole = select(product, product / MADE_SMALLER, is_beside_small(row.statistics));
    let value = (bitcast<f32>(other) - whole) * inverse_temperature();
    return select(one_nan(bitcast<u32>(value)), row.special, row.is_special);
}
