// (x − maximum) − log(Σ exp(x − maximum)).

struct Finish {
    maximum: f32,
    log_of_sum: f32,
    // Rows without a finite maximum have one answer for every class.
    is_special: bool,
    special: u32,
    is_empty: bool,
}

const MASKED_RESULT: u32 = NEGATIVE_INFINITY_BITS;

fn finish(row: Statistics) -> Finish {
    let scale = scale_of_part(row);
    let is_empty = is_empty_key(row.key);
    let special = select(NAN_BITS, parameters.fully_masked, is_empty);
    return Finish(scale.maximum, log_of_sum(row, scale), !is_finite_key(row.key), special, is_empty);
}

fn element_result(bits: u32, other: u32, j: u32, row: Finish) -> u32 {
    let finite = bits != NEGATIVE_INFINITY_BITS && !is_masked(bits);
    let value = select(row.maximum, bitcast<f32>(bits), finite);
    // A difference beyond the range of f32 shows in the halves, which are within it.
    let within = finite && value * 0.5 - row.maximum * 0.5 >= -0x1.fffffep+126f;
    let logarithm = bitcast<u32>((select(row.maximum, value, within) - row.maximum) - row.log_of_sum);
    let unsigned_zero = select(logarithm, 0u, logarithm == 0x80000000u);
    return select(select(NEGATIVE_INFINITY_BITS, unsigned_zero, within), row.special, row.is_special);
}
