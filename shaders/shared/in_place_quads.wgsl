// The result overwrites the logits, four neighbours at a time: every lane stores only where it alone has
// loaded.

@group(0) @binding(1) var<storage, read_write> logits: array<LogitsQuad>;

fn logits_word(word: u32) -> u32 {
    return logits[word / LOGITS_QUAD_WORDS][word % LOGITS_QUAD_WORDS];
}

fn store_quad(quad: u32, value: ResultQuad) {
    logits[quad] = value;
}
