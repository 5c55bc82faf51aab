// Order and special values, decided on integer bits: what a shader compiler makes of NaN and infinities
// in float arithmetic is undefined.

const NAN_BITS: u32 = 0x7fc00000u;
const INFINITY_BITS: u32 = 0x7f800000u;
const NEGATIVE_INFINITY_BITS: u32 = 0xff800000u;

// What is no logit, since it is masked or beyond the end of its row: a NaN, and the only one beside NAN_BITS.
const NO_LOGIT: u32 = 0xffffffffu;

const NAN_KEY: u32 = 0xffc00000u;
const INFINITY_KEY: u32 = 0xff800000u;
const NEGATIVE_INFINITY_KEY: u32 = 0x007fffffu;

// An unsigned number that orders as the floats do, NAN_BITS on top of all and 0, of what is no logit, below all.
fn sort_key(bits: u32) -> u32 {
    return select(bits | 0x80000000u, ~bits, (bits & 0x80000000u) != 0u);
}

// The bits whose key is `key`, for any key but NaN's.
fn bits_of_key(key: u32) -> u32 {
    return select(~key, key & 0x7fffffffu, (key & 0x80000000u) != 0u);
}

// Whether a row with this greatest key has a finite maximum.
fn is_finite_key(key: u32) -> bool {
    return key > NEGATIVE_INFINITY_KEY && key < INFINITY_KEY;
}

// Whether nothing in a row with this greatest key takes part: no class at all, or nothing but −∞.
fn is_empty_key(key: u32) -> bool {
    return key <= NEGATIVE_INFINITY_KEY;
}

// Of all NaN the one that logits and results have: for what is computed from numbers that nobody has looked at.
fn one_nan(bits: u32) -> u32 {
    return select(bits, NAN_BITS, (bits & 0x7fffffffu) > INFINITY_BITS);
}

// The same, of each of a quad.
fn one_nan_each(bits: vec4<u32>) -> vec4<u32> {
    return select(bits, vec4<u32>(NAN_BITS), magnitudes(bits) > vec4<u32>(INFINITY_BITS));
}

// Without their signs.
fn magnitudes(bits: vec4<u32>) -> vec4<u32> {
    return bits & vec4<u32>(0x7fffffffu);
}
