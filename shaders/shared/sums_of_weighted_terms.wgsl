// The terms of a row, each times its weight.

struct Sum {
    // The weights of the elements that equal the maximum.
    at_maximum: f32,
    // Σ term·weight over all others, times WEIGHED_TERMS. Where the maximum is +∞, Σ |weight| over its
    // elements: infinities of both signs show in the difference.
    others: f32,
}

const SUM_WORDS: u32 = 2u;
alias SumWords = array<u32, 2>;

fn no_sum() -> Sum {
    return Sum(0.0, 0.0);
}

fn add(left: Sum, right: Sum) -> Sum {
    return Sum(left.at_maximum + right.at_maximum, left.others + right.others);
}

fn one(bits: u32, other: u32, j: u32, key: u32, scale: Scale) -> Sum {
    let is_maximum = sort_key(bits) == key;
    let weight = select(bitcast<f32>(other), 0.0, is_masked(bits));
    if key == INFINITY_KEY {
        return Sum(select(0.0, weight, is_maximum), select(0.0, abs(weight), is_maximum));
    }
    let own = (term(bits, scale) * WEIGHED_TERMS) * weight;
    return Sum(select(0.0, weight, is_maximum), select(own, 0.0, is_maximum));
}

fn rescaled(part: Statistics, key: u32, scale: Scale) -> Sum {
    let others = terms_in_scale(part.sum.others, part, scale);
    if part.key == key {
        return Sum(part.sum.at_maximum, others);
    }
    if key == INFINITY_KEY {
        return no_sum();
    }
    let highest = terms_in_scale(highest_of(part) * WEIGHED_TERMS, part, scale);
    return Sum(0.0, others + highest * part.sum.at_maximum);
}

// A maximum's term, in the part's own scale.
fn highest_of(part: Statistics) -> f32 {
    return term(bits_of_key(part.key), scale_of_part(part));
}

fn words_of(sum: Sum) -> SumWords {
    return SumWords(bitcast<u32>(sum.at_maximum), bitcast<u32>(sum.others));
}

fn sum_of(words: SumWords) -> Sum {
    return Sum(bitcast<f32>(words[0]), bitcast<f32>(words[1]));
}
