// The terms of a row, and the sum of the second operand.

struct Sum {
    maxima: u32,
    others: f32,
    // Over the elements that take part; and the same made smaller, for operands near the end of the range.
    operands: f32,
    small_operands: f32,
}

const SUM_WORDS: u32 = 4u;
alias SumWords = array<u32, 4>;

fn no_sum() -> Sum {
    return Sum(0u, 0.0, 0.0, 0.0);
}

fn add(left: Sum, right: Sum) -> Sum {
    return Sum(
        left.maxima + right.maxima, left.others + right.others, left.operands + right.operands,
        left.small_operands + right.small_operands);
}

fn one(bits: u32, other: u32, j: u32, key: u32, scale: Scale) -> Sum {
    let is_maximum = sort_key(bits) == key;
    let operand = select(bitcast<f32>(other), 0.0, is_masked(bits));
    return Sum(
        select(0u, 1u, is_maximum), select(term(bits, scale), 0.0, is_maximum), operand, made_smaller(operand));
}

fn rescaled(part: Statistics, key: u32, scale: Scale) -> Sum {
    let sum = part.sum;
    if part.key == key {
        let others = shifted(sum.others, part.exponent - scale.exponent);
        return Sum(sum.maxima, others, sum.operands, sum.small_operands);
    }
    return Sum(0u, terms_in_scale(terms_of(part), part, scale), sum.operands, sum.small_operands);
}

fn terms_of(part: Statistics) -> f32 {
    return part.sum.others + f32(part.sum.maxima) * term(bits_of_key(part.key), scale_of_part(part));
}

fn words_of(sum: Sum) -> SumWords {
    return SumWords(
        sum.maxima, bitcast<u32>(sum.others), bitcast<u32>(sum.operands), bitcast<u32>(sum.small_operands));
}

fn sum_of(words: SumWords) -> Sum {
    return Sum(words[0], bitcast<f32>(words[1]), bitcast<f32>(words[2]), bitcast<f32>(words[3]));
}

// Σ operand, made smaller where is_beside_small.
fn beside(row: Statistics, scale: Scale) -> f32 {
    return select(row.sum.operands, row.sum.small_operands, is_beside_small(row));
}

fn is_beside_small(row: Statistics) -> bool {
    return (bitcast<u32>(row.sum.operands) & 0x7fffffffu) >= INFINITY_BITS;
}
