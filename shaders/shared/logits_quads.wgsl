// The logits, four neighbours at a time: every row starts and ends with such a quad.

@group(0) @binding(1) var<storage, read> logits: array<LogitsQuad>;

fn logits_word(word: u32) -> u32 {
    return logits[word / LOGITS_QUAD_WORDS][word % LOGITS_QUAD_WORDS];
}
