// The result overwrites the logits: every lane stores only where it alone has loaded.

@group(0) @binding(1) var<storage, read_write> logits: array<u32>;

fn logits_word(word: u32) -> u32 {
    return logits[word];
}

fn store_word(word: u32, value: u32) {
    logits[word] = value;
}
