// What is written for a logit.
fn finished(bits: u32, other: u32, j: u32, row: Finish) -> u32 {
    let value = element_result(bits, other, j, row);
    return select(value, MASKED_RESULT, is_masked(bits) && !row.is_empty);
}
