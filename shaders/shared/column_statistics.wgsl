// The statistics of the elements that one lane walks alone, block by block, so that a column is read
// from memory once and its blocks' second reading finds them in the cache.

const COLUMN_BLOCK: u32 = 64u;
const COLUMN_GROUP: u32 = 16u * COLUMN_BLOCK;

// The walk through this window's chunk `chunk` of the row.
fn column_chunk(chunk: u32) -> Walk {
    return Walk(chunk_start(chunk), 1u, chunk_length(chunk));
}

fn block_statistics(walk: Walk) -> Statistics {
    let key = lane_maximum(walk);
    let scale = scale_of(key);
    return Statistics(key, scale.exponent, lane_sum(walk, key, scale));
}

fn column_statistics(walk: Walk) -> Statistics {
    var column = nothing();
    for (var outer = 0u; outer < walk.count; outer += COLUMN_GROUP) {
        var group = nothing();
        let end = min(outer + COLUMN_GROUP, walk.count);
        for (var first = outer; first < end; first += COLUMN_BLOCK) {
            let count = min(COLUMN_BLOCK, end - first);
            group = join(group, block_statistics(Walk(walk.first + first, 1u, count)));
        }
        column = join(column, group);
    }
    return column;
}
