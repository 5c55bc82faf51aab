// A result in a buffer of its own, two elements of which share a word.

@group(0) @binding(2) var<storage, read_write> result: array<atomic<u32>>;

fn store_word(word: u32, value: u32) {
    atomicStore(&result[word], value);
}

// Whoever stores the other half of the word at the same time keeps it: each changes its own bits alone.
fn store_half(element: u32, value: u32) {
    let shift = 16u * (element & 1u);
    atomicAnd(&result[element >> 1u], ~(0xffffu << shift));
    atomicOr(&result[element >> 1u], value << shift);
}
