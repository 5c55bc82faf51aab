// The terms of a row, and what its loss, its entropy and its argmax are made of. Distances are those from
// the maximum down: none of the sums cancels.

struct Sum {
    maxima: u32,
    others: f32,
    // maximum − x at the label, and 1 where the label is among the elements.
    label_distance: f32,
    has_label: f32,
    // Σ q·(maximum − x) and Σ q over the part of the targets that is no label's.
    distances: f32,
    targets: f32,
    // Σ term·(maximum − x), times TERMS_TO_ONE.
    products: f32,
    // The first class that equals the maximum.
    argmax: u32,
}

const SUM_WORDS: u32 = 8u;
alias SumWords = array<u32, 8>;

const NO_CLASS: u32 = 0xffffffffu;

fn no_sum() -> Sum {
    return Sum(0u, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, NO_CLASS);
}

fn add(left: Sum, right: Sum) -> Sum {
    return Sum(
        left.maxima + right.maxima,
        left.others + right.others,
        left.label_distance + right.label_distance,
        left.has_label + right.has_label,
        left.distances + right.distances,
        left.targets + right.targets,
        left.products + right.products,
        min(left.argmax, right.argmax),
    );
}

// Whether an element of one key is as large as one of the greatest key: −0 is as large as 0.
fn is_tie(own_key: u32, key: u32) -> bool {
    return own_key == key || (key == 0x80000000u && own_key == 0x7fffffffu);
}

fn one(bits: u32, other: u32, j: u32, key: u32, scale: Scale) -> Sum {
    let own_key = sort_key(bits);
    let is_maximum = own_key == key;
    let own = term(bits, scale);
    let is_finite = is_finite_key(own_key);
    let maximum = bitcast<f32>(select(0u, bits_of_key(key), is_finite_key(key)));
    let finite_distance = maximum - select(maximum, bitcast<f32>(bits), is_finite);
    let distance = bitcast<f32>(select(INFINITY_BITS, bitcast<u32>(finite_distance), is_finite));
    let q = select(spread_part(j, other), 0.0, bits == NO_LOGIT);
    return Sum(
        select(0u, 1u, is_maximum),
        select(own, 0.0, is_maximum),
        select(0.0, distance, is_label(j)),
        select(0.0, 1.0, is_label(j)),
        // Nothing of a target is nothing, also where its class is infinitely far away.
        select(0.0, q * distance, q != 0.0),
        q,
        select(0.0, (own * TERMS_TO_ONE) * finite_distance, own > 0.0),
        select(NO_CLASS, j, is_tie(own_key, key)),
    );
}

fn rescaled(part: Statistics, key: u32, scale: Scale) -> Sum {
    let sum = part.sum;
    if part.key == key {
        return Sum(
            sum.maxima, shifted(sum.others, part.exponent - scale.exponent), sum.label_distance, sum.has_label,
            sum.distances, sum.targets, terms_in_scale(sum.products, part, scale), sum.argmax);
    }
    // A part without a finite element is as far away from any maximum.
    let is_finite = is_finite_key(part.key) && is_finite_key(key);
    let own_maximum = bitcast<f32>(select(0u, bits_of_key(part.key), is_finite));
    let maximum = bitcast<f32>(select(0u, bits_of_key(key), is_finite));
    let further = maximum - own_maximum;
    let terms = terms_in_scale(terms_of(part), part, scale);
    let near = terms > 0.0;
    let products = terms_in_scale(sum.products, part, scale);
    return Sum(
        0u,
        terms,
        sum.label_distance + select(0.0, further, sum.has_label != 0.0),
        sum.has_label,
        sum.distances + select(0.0, sum.targets * further, sum.targets != 0.0),
        sum.targets,
        select(0.0, products + (terms * TERMS_TO_ONE) * further, near),
        select(NO_CLASS, sum.argmax, is_tie(part.key, key)),
    );
}

fn terms_of(part: Statistics) -> f32 {
    return part.sum.others + f32(part.sum.maxima) * term(bits_of_key(part.key), scale_of_part(part));
}

fn words_of(sum: Sum) -> SumWords {
    return SumWords(
        sum.maxima, bitcast<u32>(sum.others), bitcast<u32>(sum.label_distance), bitcast<u32>(sum.has_label),
        bitcast<u32>(sum.distances), bitcast<u32>(sum.targets), bitcast<u32>(sum.products), sum.argmax);
}

fn sum_of(words: SumWords) -> Sum {
    return Sum(
        words[0], bitcast<f32>(words[1]), bitcast<f32>(words[2]), bitcast<f32>(words[3]),
        bitcast<f32>(words[4]), bitcast<f32>(words[5]), bitcast<f32>(words[6]), words[7]);
}

// The log of the row's terms, less its maximum.
fn beside(row: Statistics, scale: Scale) -> f32 {
    return log_of_sum(row, scale);
}
