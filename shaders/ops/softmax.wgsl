// exp(x) / Σ exp.

const MASKED_RESULT: u32 = 0u;

fn element_result(bits: u32, other: u32, j: u32, row: Finish) -> u32 {
    return select(bitcast<u32>(probability(bits, row)), row.special, row.is_special);
}
