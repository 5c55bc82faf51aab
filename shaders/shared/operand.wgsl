// A second element for every logit: a cotangent, a tangent, a weight, a target probability.
fn operand(j: u32) -> u32 {
    return load_operand(operand_of_row + j * parameters.inner);
}
