// The result overwrites the logits, two of which share a word: every lane stores only where it alone has
// loaded, and changes no other bits.

@group(0) @binding(1) var<storage, read_write> logits: array<atomic<u32>>;

fn logits_word(word: u32) -> u32 {
    return atomicLoad(&logits[word]);
}

fn store_word(word: u32, value: u32) {
    atomicStore(&logits[word], value);
}

fn store_half(element: u32, value: u32) {
    let shift = 16u * (element & 1u);
    atomicAnd(&logits[element >> 1u], ~(0xffffu << shift));
    atomicOr(&logits[element >> 1u], value << shift);
}
