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

fn takes_part(j: u32) -> bool {
    return j >= first_visible && j < end_visible && mask_allows(j) && counts(j);
}

// The logit of class j from what is stored for it.
fn as_logit(stored_bits: u32, j: u32) -> u32 {
    if !takes_part(j) {
        return NO_LOGIT;
    }
    var bits = stored_bits;
    if has(ONE_TEMPERATURE | TEMPERATURE_PER_ROW) {
        bits = tempered(bits);
    }
    return one_nan(with_additive_mask(bits, j));
}

fn logit(j: u32) -> u32 {
    return as_logit(load_logits(logits_of_row + j * parameters.inner), j);
}

// x / T. The power of two is counted in the exponent's bits, which also keeps a compiler from merging the
// product into what comes after it, differently in each pass.
fn tempered(bits: u32) -> u32 {
    if power == NO_TEMPERATURE {
        return NAN_BITS;
    }
    let product = bitcast<u32>(bitcast<f32>(bits) * inverse);
    let sign = bits & 0x80000000u;
    let exponent = i32((product >> 23u) & 0xffu);
    let moved = exponent + power;
    let shifted = (product & 0x807fffffu) | (u32(clamp(moved, 0, 255)) << 23u);
    let within = select(shifted, sign, exponent == 0 || moved <= 0);
    let finite = select(within, sign | INFINITY_BITS, moved >= 255 && exponent != 0);
    return select(finite, bits, (bits & 0x7fffffffu) >= INFINITY_BITS);
}

fn sum_of_bits(left: u32, right: u32) -> u32 {
    let left_special = (left & 0x7fffffffu) >= INFINITY_BITS;
    let right_special = (right & 0x7fffffffu) >= INFINITY_BITS;
    if left_special && right_special && left != right {
        // A NaN, or infinities of both signs.
        return NAN_BITS;
    }
    if left_special {
        return left;
    }
    if right_special {
        return right;
    }
    return bitcast<u32>(bitcast<f32>(left) + bitcast<f32>(right));
}

fn is_masked(bits: u32) -> bool {
    return bits == NO_LOGIT;
}

fn inverse_temperature() -> f32 {
    return bitcast<f32>(tempered(0x3f800000u));
}
