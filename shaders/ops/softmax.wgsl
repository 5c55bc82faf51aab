// exp(x) / Σ exp.

fn element_result(bits: u32, row: Finish) -> u32 {
    return select(bitcast<u32>(probability(bits, row)), row.special, row.is_special);
}
