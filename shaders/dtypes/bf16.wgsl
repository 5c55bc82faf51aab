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
