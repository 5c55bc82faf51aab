// The device's own exponential of x − maximum: quicker where arithmetic counts, and off by a few units
// for every unit of distance from the maximum.

const REACH: f32 = 200.0;

const TERMS_TO_ONE: f32 = 1.0;
const WEIGHED_TERMS: f32 = 1.0;

struct Scale {
    maximum: f32,
    // The key of maximum − REACH.
    lowest: u32,
    exponent: i32,
}

fn scale_of(key: u32) -> Scale {
    let maximum = bitcast<f32>(select(0u, bits_of_key(key), is_finite_key(key)));
    return Scale(maximum, sort_key(bitcast<u32>(maximum - REACH)), 0);
}

fn term(bits: u32, scale: Scale) -> f32 {
    let reached = sort_key(bits) >= scale.lowest;
    let value = select(scale.maximum, bitcast<f32>(bits), reached);
    return select(0.0, exp(value - scale.maximum), reached);
}

fn rescaled_terms(terms: f32, part: Scale, row: Scale) -> f32 {
    return terms * exp(part.maximum - row.maximum);
}

fn total_of(terms: f32) -> f32 {
    return terms;
}
