// The logits, word by word.

@group(0) @binding(1) var<storage, read> logits: array<u32>;

fn logits_word(word: u32) -> u32 {
    return logits[word];
}
