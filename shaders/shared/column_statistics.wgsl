// The statistics of the elements that one lane walks alone.

// The walk through this window's chunk `chunk` of the row.
fn column_chunk(chunk: u32) -> Walk {
    return walk_alone(chunk_start(chunk), chunk_length(chunk));
}

fn block_statistics(walk: Walk) -> Statistics {
    let key = lane_maximum(walk);
    let scale = scale_of(key);
    return Statistics(key, scale.exponent, lane_sum(walk, key, scale));
}
