// A cotangent or tangent v times the Jacobian of softmax, which is symmetric: p·(v − ⟨p, v⟩).

const MASKED_RESULT: u32 = 0u;

fn element_result(bits: u32, other: u32, j: u32, row: Finish) -> u32 {
    let p = probability(bits, row);
    let value = p * (bitcast<f32>(other) - row.beside) * inverse_temperature();
    return select(bitcast<u32>(select(0.0, value, p > 0.0)), row.special, row.is_special);
}
