// What has to be known of a row, or of a part of one, before any of its elements can be finished.

struct Statistics {
    // The sort key of the maximum; 0 of nothing.
    key: u32,
    // The power of two taken out of the terms.
    exponent: i32,
    // What adds up once the maximum is known.
    sum: Sum,
}

fn nothing() -> Statistics {
    return Statistics(0u, 0, no_sum());
}

// The scale that a part's terms were summed in. The exponent is taken from the part, not found again:
// another shader may round it differently.
fn scale_of_part(part: Statistics) -> Scale {
    var scale = scale_of(part.key);
    scale.exponent = part.exponent;
    return scale;
}

fn join(left: Statistics, right: Statistics) -> Statistics {
    let key = max(left.key, right.key);
    let scale = scale_of(key);
    return Statistics(key, scale.exponent, add(rescaled(left, key, scale), rescaled(right, key, scale)));
}

// A sum of terms of a part, in the scale of the row; they vanish where the part's maximum is nothing beside
// the row's.
fn terms_in_scale(terms: f32, part: Statistics, scale: Scale) -> f32 {
    let magnitude = rescaled_terms(abs(terms), scale_of_part(part), scale);
    let signed = bitcast<f32>(bitcast<u32>(magnitude) | (bitcast<u32>(terms) & 0x80000000u));
    return select(0.0, signed, part.key >= scale.lowest);
}
