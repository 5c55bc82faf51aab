// Logits and result in buffers of their own.

@group(0) @binding(1) var<storage, read> logits: array<u32>;
@group(0) @binding(2) var<storage, read_write> result: array<u32>;

fn logits_word(word: u32) -> u32 {
    return logits[word];
}

fn store_word(word: u32, value: u32) {
    result[word] = value;
}
