// Logits as the softmax sees them: divided by a temperature, with an additive mask; or none, where they are
// masked.

const ONE_TEMPERATURE: u32 = 1u;
const TEMPERATURE_PER_ROW: u32 = 2u;
const CAUSAL: u32 = 16u;
const WINDOW: u32 = 32u;
const LENGTHS: u32 = 64u;

// In place of a power of two, for a temperature that is none.
const NO_TEMPERATURE: i32 = 0x10000;

// Of the row: which classes may take part, and its inverse temperature.
var<private> first_visible: u32;
var<private> end_visible: u32;
var<private> inverse: f32;
var<private> power: i32;

fn has(kind: u32) -> bool {
    return (parameters.adjustment.kinds & kind) != 0u;
}

fn begin_adjustment(slab: u32, column: u32) {
    let slab_of_all = parameters.adjustment.origin_slab + slab;
    let column_of_all = parameters.adjustment.origin_column + column;
    first_visible = 0u;
    end_visible = parameters.classes;
    if has(LENGTHS) {
        end_visible = min(end_visible, length_of_row());
    }
    if has(CAUSAL) {
        let query = slab_of_all % parameters.adjustment.queries;
        let end = i32(query) + parameters.adjustment.causal_offset + 1;
        end_visible = min(end_visible, u32(max(end, 0)));
        if has(WINDOW) && end > 0 {
            let seen = min(parameters.adjustment.window, u32(end));
            first_visible = u32(end) - seen;
        }
    }
    inverse = parameters.adjustment.inverse_temperature;
    power = parameters.adjustment.temperature_power;
    if has(TEMPERATURE_PER_ROW) {
        invert(temperature_of_row());
    }
    begin_mask(slab_of_all, column_of_all);
    begin_additive_mask(slab_of_all, column_of_all);
}

// 1 / T as a factor from ½ to 1 and a power of two, so that no part of it leaves the range of f32. The
// device's own quotient may be off by 2½ units: what is left over is found exactly, by products of
// halves, and put right.
fn invert(bits: u32) {
    if bits == 0u || bits >= INFINITY_BITS {
        // Zero, infinite, negative or NaN: nothing can be divided by it.
        power = NO_TEMPERATURE;
        return;
    }
    let subnormal = (bits >> 23u) == 0u;
    let shift = countLeadingZeros(bits) - 8u;
    let mantissa = select(bits & 0x7fffffu, (bits << shift) & 0x7fffffu, subnormal);
    power = select(127 - i32(bits >> 23u), 126 + i32(shift), subnormal);
    let factor = bitcast<f32>(mantissa | 0x3f800000u);
    let nearly = 1.0 / factor;
    let factor_high = bitcast<f32>(bitcast<u32>(factor) & 0xfffff000u);
    let nearly_high = bitcast<f32>(bitcast<u32>(nearly) & 0xfffff000u);
    let factor_low = factor - factor_high;
    let nearly_low = nearly - nearly_high;
    let rest = ((1.0 - factor_high * nearly_high) - factor_high * nearly_low - factor_low * nearly_high)
        - factor_low * nearly_low;
    inverse = nearly + nearly * rest;
}

fn take_part(classes: vec4<u32>) -> vec4<bool> {
    let visible = (classes >= vec4<u32>(first_visible)) & (classes < vec4<u32>(end_visible));
    return visible & mask_allows(classes) & counts(classes);
}

// The logits of a quad of classes from what is stored for them.
fn as_logits(stored_bits: vec4<u32>, classes: vec4<u32>) -> vec4<u32> {
    var bits = stored_bits;
    if has(ONE_TEMPERATURE | TEMPERATURE_PER_ROW) {
        bits = tempered(bits);
    }
    bits = one_nan_each(with_additive_mask(bits, classes));
    return select(vec4<u32>(NO_LOGIT), bits, take_part(classes));
}

fn logit(j: u32) -> u32 {
    return as_logits(vec4<u32>(load_logits(logits_of_row + j * parameters.inner)), vec4<u32>(j)).x;
}

// x / T. The power of two is counted in the exponent's bits, which also keeps a compiler from merging the
// product into what comes after it, differently in each pass.
fn tempered(bits: vec4<u32>) -> vec4<u32> {
    if power == NO_TEMPERATURE {
        return vec4<u32>(NAN_BITS);
    }
    let product = bitcast<vec4<u32>>(bitcast<vec4<f32>>(bits) * inverse);
    let sign = bits & vec4<u32>(0x80000000u);
    let exponent = vec4<i32>((product >> vec4<u32>(23u)) & vec4<u32>(0xffu));
    let moved = exponent + power;
    let clamped = vec4<u32>(clamp(moved, vec4<i32>(0), vec4<i32>(255)));
    let shifted = (product & vec4<u32>(0x807fffffu)) | (clamped << vec4<u32>(23u));
    let vanishes = exponent == vec4<i32>(0);
    let within = select(shifted, sign, vanishes | (moved <= vec4<i32>(0)));
    let overflows = (moved >= vec4<i32>(255)) & !vanishes;
    let finite = select(within, sign | vec4<u32>(INFINITY_BITS), overflows);
    return select(finite, bits, magnitudes(bits) >= vec4<u32>(INFINITY_BITS));
}

fn sum_of_bits(left: vec4<u32>, right: vec4<u32>) -> vec4<u32> {
    let left_special = magnitudes(left) >= vec4<u32>(INFINITY_BITS);
    let right_special = magnitudes(right) >= vec4<u32>(INFINITY_BITS);
    let finite = bitcast<vec4<u32>>(bitcast<vec4<f32>>(left) + bitcast<vec4<f32>>(right));
    let special = select(right, left, left_special);
    // A NaN, or infinities of both signs.
    let undefined = left_special & right_special & (left != right);
    return select(select(finite, special, left_special | right_special), vec4<u32>(NAN_BITS), undefined);
}

fn is_masked(bits: u32) -> bool {
    return bits == NO_LOGIT;
}

fn inverse_temperature() -> f32 {
    return bitcast<f32>(tempered(vec4<u32>(0x3f800000u)).x);
}
