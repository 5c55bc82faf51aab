// The statistics of a column that no register file holds, block by block, so that a block's second reading finds
// it in the cache.

const COLUMN_BLOCK: u32 = 64u;
const COLUMN_GROUP: u32 = 16u * COLUMN_BLOCK;

fn column_statistics(walk: Walk) -> Statistics {
    var column = nothing();
    for (var outer = walk.first; outer < walk.end; outer += COLUMN_GROUP) {
        var group = nothing();
        let end = min(outer + COLUMN_GROUP, walk.end);
        for (var first = outer; first < end; first += COLUMN_BLOCK) {
            let count = min(COLUMN_BLOCK, end - first);
            group = join(group, block_statistics(walk_alone(first, count)));
        }
        column = join(column, group);
    }
    return column;
}

fn whole_column_statistics() -> Statistics {
    // There are few chunks, a group of partials at most.
    var column = nothing();
    for (var chunk = 0u; chunk < parameters.chunks; chunk += 1u) {
        column = join(column, column_statistics(column_chunk(chunk)));
    }
    return column;
}
