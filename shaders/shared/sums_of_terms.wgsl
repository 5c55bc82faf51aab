// The terms of a row, and how often its maximum occurs.

struct Sum {
    // How many elements equal the maximum.
    maxima: u32,
    // The terms of all elements below the maximum. Log-sum-exp needs the sum without one maximum, and
    // taking it out again afterwards would cancel.
    others: f32,
}

const SUM_WORDS: u32 = 2u;
alias SumWords = array<u32, 2>;

fn no_sum() -> Sum {
    return Sum(0u, 0.0);
}

fn add(left: Sum, right: Sum) -> Sum {
    return Sum(left.maxima + right.maxima, left.others + right.others);
}

// What one element adds to a row whose greatest key is `key`.
fn one(bits: u32, other: u32, j: u32, key: u32, scale: Scale) -> Sum {
    let is_maximum = sort_key(bits) == key;
    return Sum(select(0u, 1u, is_maximum), select(term(bits, scale), 0.0, is_maximum));
}

// What a part adds to a row whose greatest key is `key`: its maxima are among the others where the row
// has a greater one.
fn rescaled(part: Statistics, key: u32, scale: Scale) -> Sum {
    if part.key == key {
        return Sum(part.sum.maxima, shifted(part.sum.others, part.exponent - scale.exponent));
    }
    return Sum(0u, terms_in_scale(terms_of(part), part, scale));
}

// All terms of a part, in its own scale.
fn terms_of(part: Statistics) -> f32 {
    return part.sum.others + f32(part.sum.maxima) * term(bits_of_key(part.key), scale_of_part(part));
}

fn words_of(sum: Sum) -> SumWords {
    return SumWords(sum.maxima, bitcast<u32>(sum.others));
}

fn sum_of(words: SumWords) -> Sum {
    return Sum(words[0], bitcast<f32>(words[1]));
}

// What the operations ask for beside the terms.
fn beside(row: Statistics, scale: Scale) -> f32 {
    return 0.0;
}
