// A tangent v pushed forward through log-softmax: v − ⟨p, v⟩.

const MASKED_RESULT: u32 = 0u;

fn element_result(bits: u32, other: u32, j: u32, row: Finish) -> u32 {
    let value = (bitcast<f32>(other) - row.beside) * inverse_temperature();
    return select(one_nan(bitcast<u32>(value)), row.special, row.is_special);
}
