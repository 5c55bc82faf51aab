// f16 storage, IEEE 754 binary16: two elements share a word. Converted by integer arithmetic, so that a
// device which flushes subnormal numbers keeps these.

fn f16_word(element: u32) -> u32 {
    return element >> 1u;
}

fn f16_loaded(word: u32, element: u32) -> u32 {
    let half = (word >> (16u * (element & 1u))) & 0xffffu;
    let sign = (half & 0x8000u) << 16u;
    let magnitude = half & 0x7fffu;
    // As an f32, a subnormal f16 is a normal number.
    let subnormal = bitcast<u32>(f32(magnitude) * 0x1p-24f);
    let normal = (magnitude << 13u) + (112u << 23u);
    let special = (magnitude << 13u) | 0x7f800000u;
    let finite = select(normal, subnormal, magnitude < 0x0400u);
    return sign | select(finite, special, magnitude >= 0x7c00u);
}

// The nearest f16, the even one of two.
fn f16_stored(bits: u32) -> u32 {
    let sign = (bits >> 16u) & 0x8000u;
    let magnitude = bits & 0x7fffffffu;
    if magnitude > 0x7f800000u {
        return 0x7e00u;
    }
    if magnitude >= 0x477ff000u {
        return sign | 0x7c00u;
    }
    if magnitude >= 0x38800000u {
        return sign | ((magnitude - (112u << 23u) + 0xfffu + ((magnitude >> 13u) & 1u)) >> 13u);
    }
    // Units of 2⁻²⁴, the least subnormal f16: the digits below them decide on the rounding.
    let shift = min(126u - (magnitude >> 23u), 31u);
    let digits = (magnitude & 0x7fffffu) | 0x800000u;
    let units = digits >> shift;
    let rest = digits & ((1u << shift) - 1u);
    let middle = 1u << (shift - 1u);
    let up = rest > middle || (rest == middle && (units & 1u) == 1u);
    return sign | (units + select(0u, 1u, up));
}

alias f16_quad = vec2<u32>;

const f16_QUAD_WORDS: u32 = 2u;

fn f16_quad_loaded(words: f16_quad) -> vec4<u32> {
    return vec4<u32>(
        f16_loaded(words.x, 0u), f16_loaded(words.x, 1u), f16_loaded(words.y, 0u), f16_loaded(words.y, 1u));
}

fn f16_quad_stored(bits: vec4<u32>) -> f16_quad {
    return vec2<u32>(
        f16_stored(bits.x) | (f16_stored(bits.y) << 16u), f16_stored(bits.z) | (f16_stored(bits.w) << 16u));
}
