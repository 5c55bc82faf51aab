// What has to be known of a row, or of a part of one, before any of its elements can be finished.

struct Statistics {
    // The sort key of the maximum; 0 of nothing.
    key: u32,
    // The power of two taken out of the terms.
    exponent: i32,
    // How many elements equal the maximum.
    maxima: u32,
    // The terms of all elements below the maximum. Log-sum-exp needs the sum without one maximum, and
    // taking it out again afterwards would cancel.
    others: f32,
}

// The part of the statistics that adds up once the maximum is known.
struct Sum {
    maxima: u32,
    others: f32,
}

fn nothing() -> Statistics {
    return Statistics(0u, 0, 0u, 0.0);
}

fn add(left: Sum, right: Sum) -> Sum {
    return Sum(left.maxima + right.maxima, left.others + right.others);
}

// What one element adds to a row whose greatest key is `key`.
fn one(bits: u32, key: u32, scale: Scale) -> Sum {
    let is_maximum = sort_key(bits) == key;
    return Sum(select(0u, 1u, is_maximum), select(term(bits, scale), 0.0, is_maximum));
}

// The scale that a part's terms were summed in. The exponent is taken from the part, not found again:
// another shader may round it differently.
fn scale_of_part(part: Statistics) -> Scale {
    var scale = scale_of(part.key);
    scale.exponent = part.exponent;
    return scale;
}

// What a part adds to a row whose greatest key is `key`: its maxima are among the others where the row
// has a greater one.
fn rescaled(part: Statistics, key: u32, scale: Scale) -> Sum {
    if part.key == key {
        return Sum(part.maxima, shifted(part.others, part.exponent - scale.exponent));
    }
    let own = scale_of_part(part);
    let total = part.others + f32(part.maxima) * term(bits_of_key(part.key), own);
    return Sum(0u, select(0.0, rescaled_terms(total, own, scale), part.key >= scale.lowest));
}

fn join(left: Statistics, right: Statistics) -> Statistics {
    let key = max(left.key, right.key);
    let scale = scale_of(key);
    let sum = add(rescaled(left, key, scale), rescaled(right, key, scale));
    return Statistics(key, scale.exponent, sum.maxima, sum.others);
}
