// The exponential that every accurate result is made of.
//
// x − maximum, rounded to f32, already costs dozens of units in the last place where the two are far
// apart. So the maximum is not taken out of a row; a power of two close to it is. With
//
//     c = maximum where it lies outside [−104, 208], else 0        (x − c is exact for every x that counts)
//     J = ⌊(maximum − c)·log₂e⌋ − 61                               (the largest term lies in [2⁶¹, 2⁶²))
//
// a term is exp(x − c)·2^−J = polynomial(r)·2^(n − J), where n = round((x − c)·log₂e) and r, the rest, is
// taken off in two steps (Cody and Waite, Software Manual for the Elementary Functions, 1980). The first
// of them comes out of an integer product, which is what keeps compilers from merging the two.
//
// The largest term is so large, 2³² of which a sum still holds, for the sake of the small ones: each of a
// thousand may be less than 2⁻¹²⁶ of the largest, and vanish, where their sum is more and counts.

const LOG2_OF_E: f32 = 1.4426950408889634;
// ln 2 = 45426·2⁻¹⁶ + LN2_LOW.
const LN2_HIGH: i32 = 45426;
const LN2_LOW: f32 = 1.42860677e-6;
// Logits further than this below the maximum are nothing beside it.
const REACH: f32 = 200.0;

// Powers of two by which the terms are larger than they would have to be.
const LIFT: i32 = 61;

// What brings the terms down before they are multiplied: to at most 1 for operands of any size, and half
// of that way for weights, whose small terms count in logarithms.
const TERMS_TO_ONE: f32 = 0x1p-62f;
const WEIGHED_TERMS: f32 = 0x1p-31f;

struct Scale {
    maximum: f32,
    // The key of maximum − REACH.
    lowest: u32,
    // c and J.
    origin: f32,
    exponent: i32,
}

fn scale_of(key: u32) -> Scale {
    let maximum = bitcast<f32>(select(0u, bits_of_key(key), is_finite_key(key)));
    let origin = select(0.0, maximum, maximum > 208.0 || maximum < -104.0);
    let exponent = i32(floor((maximum - origin) * LOG2_OF_E)) - LIFT;
    return Scale(maximum, sort_key(bitcast<u32>(maximum - REACH)), origin, exponent);
}

// factor·exp(distance)·2^shift.
fn shifted_exponential(factor: f32, distance: f32, shift: i32) -> f32 {
    let whole = i32(round(distance * LOG2_OF_E));
    let nearly = hide(distance - hide(f32(whole * LN2_HIGH) * 0x1p-16f));
    let rest = hide(nearly - f32(whole) * LN2_LOW);

    var sum = 1.98756915e-4;
    sum = sum * rest + 1.39819995e-3;
    sum = sum * rest + 8.33345191e-3;
    sum = sum * rest + 4.16657959e-2;
    sum = sum * rest + 1.66666655e-1;
    sum = sum * rest + 0.5;
    return shifted(factor * (sum * (rest * rest) + rest + 1.0), whole + shift);
}

// exp(x − c)·2^−J for the x with these bits, 0 for −∞.
fn term(bits: u32, scale: Scale) -> f32 {
    let reached = sort_key(bits) >= scale.lowest;
    let value = select(scale.maximum, bitcast<f32>(bits), reached);
    return select(0.0, shifted_exponential(1.0, value - scale.origin, -scale.exponent), reached);
}

// A sum of terms in the scale `part`, in the scale `row`. Nearly always both have the same c, and the two
// differ by a power of two.
fn rescaled_terms(terms: f32, part: Scale, row: Scale) -> f32 {
    return shifted_exponential(terms, part.origin - row.origin, part.exponent - row.exponent);
}

// What a row's terms are divided by to be probabilities.
fn total_of(terms: f32) -> f32 {
    return terms;
}
