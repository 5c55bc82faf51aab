// log Σ b·exp(x) for weights b: NaN where the sum is negative.

fn row_result(row: Finish) -> u32 {
    return select(row.logarithm, NAN_BITS, row.sign == 0xbf800000u);
}
