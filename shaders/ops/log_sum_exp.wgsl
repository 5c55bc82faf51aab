// maximum + log(Σ exp(x − maximum)), one per row.

struct Finish {
    key: u32,
    maximum: f32,
    log_of_sum: f32,
}

fn finish(row: Statistics) -> Finish {
    let scale = scale_of_part(row);
    return Finish(row.key, scale.maximum, log_of_sum(row, scale));
}

fn row_result(row: Finish) -> u32 {
    if row.key == NAN_KEY {
        return NAN_BITS;
    }
    if row.key == INFINITY_KEY {
        return INFINITY_BITS;
    }
    if is_empty_key(row.key) {
        return NEGATIVE_INFINITY_BITS;
    }
    // A lone class is its own log-sum-exp, to the bit.
    return select(bitcast<u32>(row.maximum + row.log_of_sum), bits_of_key(row.key), row.log_of_sum == 0.0);
}
