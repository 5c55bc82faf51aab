// The terms of a row, and the sum of their products with the second operand.

struct Sum {
    maxima: u32,
    others: f32,
    // Σ term·operand over all elements, maxima among them, times TERMS_TO_ONE; and the same made smaller,
    // for operands near the end of the range.
    products: f32,
    small_products: f32,
}

const SUM_WORDS: u32 = 4u;
alias SumWords = array<u32, 4>;

fn no_sum() -> Sum {
    return Sum(0u, 0.0, 0.0, 0.0);
}

fn add(left: Sum, right: Sum) -> Sum {
    return Sum(
        left.maxima + right.maxima, left.others + right.others, left.products + right.products,
        left.small_products + right.small_products);
}

fn one(bits: u32, other: u32, j: u32, key: u32, scale: Scale) -> Sum {
    let is_maximum = sort_key(bits) == key;
    let own = term(bits, scale);
    // What has no probability has no say, whatever its operand is.
    let factor = select(0.0, bitcast<f32>(other), own > 0.0);
    let share = own * TERMS_TO_ONE;
    return Sum(
        select(0u, 1u, is_maximum), select(own, 0.0, is_maximum), share * factor,
        share * made_smaller(factor));
}

fn rescaled(part: Statistics, key: u32, scale: Scale) -> Sum {
    let products = terms_in_scale(part.sum.products, part, scale);
    let small_products = terms_in_scale(part.sum.small_products, part, scale);
    if part.key == key {
        let others = shifted(part.sum.others, part.exponent - scale.exponent);
        return Sum(part.sum.maxima, others, products, small_products);
    }
    return Sum(0u, terms_in_scale(terms_of(part), part, scale), products, small_products);
}

fn terms_of(part: Statistics) -> f32 {
    return part.sum.others + f32(part.sum.maxima) * term(bits_of_key(part.key), scale_of_part(part));
}

fn words_of(sum: Sum) -> SumWords {
    return SumWords(
        sum.maxima, bitcast<u32>(sum.others), bitcast<u32>(sum.products), bitcast<u32>(sum.small_products));
}

fn sum_of(words: SumWords) -> Sum {
    return Sum(words[0], bitcast<f32>(words[1]), bitcast<f32>(words[2]), bitcast<f32>(words[3]));
}

// ⟨p, operand⟩.
fn beside(row: Statistics, scale: Scale) -> f32 {
    let total = total_of(terms_of(row)) * TERMS_TO_ONE;
    let overflown = (bitcast<u32>(row.sum.products) & 0x7fffffffu) >= INFINITY_BITS;
    return select(row.sum.products / total, row.sum.small_products / total / MADE_SMALLER, overflown);
}
