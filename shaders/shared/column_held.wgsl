// The statistics of a column that is one block, and stays in registers.
fn whole_column_statistics() -> Statistics {
    let walk = walk_alone(0u, parameters.classes);
    take(walk);
    return block_statistics(walk);
}
