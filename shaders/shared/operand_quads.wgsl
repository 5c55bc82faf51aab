// The operand, four neighbours at a time.

@group(0) @binding(4) var<storage, read> second_operand: array<OperandQuad>;

fn operand_word(word: u32) -> u32 {
    return second_operand[word / OPERAND_QUAD_WORDS][word % OPERAND_QUAD_WORDS];
}

fn operands_from(j: u32, end: u32) -> vec4<u32> {
    return load_operand_quad((operand_of_row + j) / 4u);
}
