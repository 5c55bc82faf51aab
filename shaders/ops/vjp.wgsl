// A cotangent or tangent v times the Jacobian of softmax, which is symmetric: p·(v − ⟨p, v⟩).

const MASKED_RESULT: u32 = 0u;

fn element_result(bits: u32, other: u32, j: u32, row: Finish) -> u32 {
    let p = probability(bits, row);
    // Of halves, since a difference may be beyond the range where its share is not.
    let half_difference = 0.5 * bitcast<f32>(other) - 0.5 * row.beside;
    let value = (2.0 * p) * half_difference * inverse_temperature();
    return select(one_nan(bitcast<u32>(select(0.0, value, p > 0.0))), row.special, row.is_special);
}
