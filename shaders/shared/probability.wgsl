// A class's probability, once its row's statistics are known.

struct Finish {
    scale: Scale,
    // The sum of all terms, and of all but one maximum.
    key: u32,
    total: f32,
    without_maximum: f32,
    // Rows without a finite maximum have one answer for every class.
    is_special: bool,
    special: u32,
}

fn finish(row: Statistics) -> Finish {
    let scale = scale_of_part(row);
    let highest = term(bits_of_key(row.key), scale);
    let total = row.others + f32(row.maxima) * highest;
    let without_maximum = row.others + f32(row.maxima - 1u) * highest;
    let special = select(NAN_BITS, parameters.fully_masked, is_empty_key(row.key));
    return Finish(scale, row.key, total, without_maximum, !is_finite_key(row.key), special);
}

fn probability(bits: u32, row: Finish) -> f32 {
    return term(bits, row.scale) / row.total;
}

// 1 − probability, to as many digits: a probability near 1 leaves what the others sum to.
fn complement(bits: u32, row: Finish) -> f32 {
    let others = select(row.total - term(bits, row.scale), row.without_maximum, sort_key(bits) == row.key);
    return others / row.total;
}
