// bf16 storage, the upper half of an f32: two elements share a word.

fn bf16_word(element: u32) -> u32 {
    return element >> 1u;
}

fn bf16_loaded(word: u32, element: u32) -> u32 {
    return (word >> (16u * (element & 1u))) << 16u;
}

// The nearest bf16, the even one of two.
fn bf16_stored(bits: u32) -> u32 {
    let rounded = (bits + 0x7fffu + ((bits >> 16u) & 1u)) >> 16u;
    return select(rounded, 0x7fc0u, (bits & 0x7fffffffu) > 0x7f800000u);
}

alias bf16_quad = vec2<u32>;

const bf16_QUAD_WORDS: u32 = 2u;

fn bf16_quad_loaded(words: bf16_quad) -> vec4<u32> {
    return vec4<u32>(
        bf16_loaded(words.x, 0u), bf16_loaded(words.x, 1u), bf16_loaded(words.y, 0u), bf16_loaded(words.y, 1u));
}

fn bf16_quad_stored(bits: vec4<u32>) -> bf16_quad {
    return vec2<u32>(
        bf16_stored(bits.x) | (bf16_stored(bits.y) << 16u), bf16_stored(bits.z) | (bf16_stored(bits.w) << 16u));
}
