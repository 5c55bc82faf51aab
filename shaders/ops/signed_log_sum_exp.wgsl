// log |Σ b·exp(x)| for weights b, and the sign of the sum.

fn row_results(row: Finish) -> vec2<u32> {
    return vec2<u32>(row.logarithm, row.sign);
}
