// Σ q·nll with nll = (maximum − x) + log(Σ exp(x − maximum)), and its gradient p·Σq − q; beside them the
// gradient of the squared log-sum-exp L, 2·L·p.

const MASKED_RESULT: u32 = 0u;

const SHARES: u32 = 2u;

fn maximum_of(row: Finish) -> f32 {
    return bitcast<f32>(select(0u, bits_of_key(row.statistics.key), is_finite_key(row.statistics.key)));
}

// The part of a sum of distances that the logarithm adds.
fn likelihood(distances: f32, targets: f32, row: Finish) -> f32 {
    return distances + select(0.0, targets * row.beside, targets != 0.0);
}

fn loss_result(row: Finish) -> u32 {
    if !is_counted() {
        return 0u;
    }
    if row.is_special && !(row.is_empty && row.special == 0u) {
        return NAN_BITS;
    }
    let q = label_part();
    var likelihoods = 0.0;
    if row.is_special {
        // Nothing takes part, and log-softmax is −∞ everywhere: what is no target costs nothing there either.
        let costs = q != 0.0 || row.statistics.sum.targets != 0.0;
        likelihoods = bitcast<f32>(select(0u, INFINITY_BITS, costs));
    } else {
        let of_label = likelihood(row.statistics.sum.label_distance, row.statistics.sum.has_label, row);
        let of_others = likelihood(row.statistics.sum.distances, row.statistics.sum.targets, row);
        likelihoods = select(0.0, q * of_label, q != 0.0) + of_others;
    }
    if (parameters.loss.kinds & SHARES) == 0u {
        return one_nan(bitcast<u32>(likelihoods));
    }
    let log_sum_exp = bitcast<f32>(log_sum_exp_result(row));
    let square = select(0.0, log_sum_exp * log_sum_exp * (0.5 * z_scale()), z_scale() != 0.0);
    return one_nan(bitcast<u32>(likelihoods * loss_scale() + square));
}

fn label_log_probability_result(row: Finish) -> u32 {
    if !is_counted() {
        return 0u;
    }
    if row.is_special {
        return select(NAN_BITS, NEGATIVE_INFINITY_BITS, row.is_empty && row.special == 0u);
    }
    let negative = bitcast<u32>(likelihood(row.statistics.sum.label_distance, row.statistics.sum.has_label, row));
    return select(negative ^ 0x80000000u, 0u, negative == 0u);
}

fn log_sum_exp_result(row: Finish) -> u32 {
    if !row.is_special {
        return select(bitcast<u32>(maximum_of(row) + row.beside), bits_of_key(row.statistics.key), row.beside == 0.0);
    }
    if row.is_empty {
        return NEGATIVE_INFINITY_BITS;
    }
    return select(INFINITY_BITS, NAN_BITS, row.statistics.key == NAN_KEY);
}

fn entropy_result(row: Finish) -> u32 {
    if row.is_special {
        return select(NAN_BITS, 0u, row.is_empty && row.special == 0u);
    }
    return bitcast<u32>(row.beside + row.statistics.sum.products / (row.total * TERMS_TO_ONE));
}

fn element_result(bits: u32, other: u32, j: u32, row: Finish) -> u32 {
    if !is_counted() {
        return 0u;
    }
    let p = probability(bits, row);
    let target_of_label = select(0.0, label_part(), is_label(j));
    let others = spread_part(j, other);
    // p·Σq − q, in which q cancels where the label has nearly all of the probability.
    let targets = label_part() + row.statistics.sum.targets;
    let rest = select(targets, row.statistics.sum.targets, is_label(j)) - others;
    let most = rest - targets * complement(bits, row);
    let least = p * targets - (target_of_label + others);
    let of_loss = select(least, most, p > 0.5) * loss_scale();
    let of_squares = select(0.0, p * (maximum_of(row) + row.beside) * z_scale(), z_scale() != 0.0);
    let value = (of_loss + of_squares) * inverse_temperature();
    return select(one_nan(bitcast<u32>(value)), row.special, row.is_special);
}
