// A class's probability, once its row's statistics are known.

struct Finish {
    scale: Scale,
    statistics: Statistics,
    // The sum of all terms, and of all but one maximum.
    total: f32,
    without_maximum: f32,
    // What the operation asks for beside the terms.
    beside: f32,
    // Rows without a finite maximum have one answer for every class.
    is_special: bool,
    special: u32,
    is_empty: bool,
}

fn finish(row: Statistics) -> Finish {
    let scale = scale_of_part(row);
    let highest = term(bits_of_key(row.key), scale);
    let total = total_of(terms_of(row));
    let without_maximum = row.sum.others + f32(row.sum.maxima - 1u) * highest;
    let is_empty = is_empty_key(row.key);
    let special = select(NAN_BITS, parameters.fully_masked, is_empty);
    return Finish(
        scale, row, total, without_maximum, beside(row, scale), !is_finite_key(row.key), special, is_empty);
}

fn probability(bits: u32, row: Finish) -> f32 {
    return term(bits, row.scale) / row.total;
}

// 1 − probability, to as many digits: a probability near 1 leaves what the others sum to.
fn complement(bits: u32, row: Finish) -> f32 {
    let others = select(row.total - term(bits, row.scale), row.without_maximum, sort_key(bits) == row.statistics.key);
    return others / row.total;
}
