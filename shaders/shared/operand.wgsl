// A second element for every logit: a cotangent, a tangent, a weight, a target probability.

@group(0) @binding(4) var<storage, read> second_operand: array<u32>;

fn operand_word(word: u32) -> u32 {
    return second_operand[word];
}

fn operand(j: u32) -> u32 {
    return load_operand(operand_of_row + j * parameters.inner);
}
