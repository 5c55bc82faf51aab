// The log of a row's sum of exponentials, less its maximum.
fn log_of_sum(row: Statistics, scale: Scale) -> f32 {
    let highest = term(bits_of_key(row.key), scale);
    let rest = row.sum.others + f32(row.sum.maxima - 1u) * highest;
    return log_one_plus(rest / highest);
}
