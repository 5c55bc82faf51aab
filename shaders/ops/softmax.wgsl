// exp(x) / Σ exp.

struct Finish {
    scale: Scale,
    total: f32,
    // Rows without a finite maximum have one answer for every class.
    is_special: bool,
    special: u32,
}

fn finish(row: Statistics) -> Finish {
    let scale = scale_of_part(row);
    let total = row.others + f32(row.maxima) * term(bits_of_key(row.key), scale);
    let special = select(NAN_BITS, parameters.fully_masked, is_empty_key(row.key));
    return Finish(scale, total, !is_finite_key(row.key), special);
}

fn element_result(bits: u32, row: Finish) -> u32 {
    let probability = term(bits, row.scale) / row.total;
    return select(bitcast<u32>(probability), row.special, row.is_special);
}
