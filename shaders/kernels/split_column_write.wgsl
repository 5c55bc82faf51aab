// The second half of a long column: each lane joins its column's partial statistics, in the order in
// which lane_per_column does, and finishes one chunk.

const PARTIALS_IN_A_GROUP: u32 = 32u;
const PARTIALS_IN_GROUPS: u32 = 32u * PARTIALS_IN_A_GROUP;

// Three levels of joins, so that no chain of additions is long.
fn joined_column(first_partial: u32) -> Statistics {
    var column = nothing();
    for (var outermost = 0u; outermost < parameters.chunks; outermost += PARTIALS_IN_GROUPS) {
        var groups = nothing();
        let groups_end = min(outermost + PARTIALS_IN_GROUPS, parameters.chunks);
        for (var first = outermost; first < groups_end; first += PARTIALS_IN_A_GROUP) {
            var group = nothing();
            let end = min(first + PARTIALS_IN_A_GROUP, parameters.chunks);
            for (var part = first; part < end; part += 1u) {
                group = join(group, load_partial(first_partial + part * parameters.columns));
            }
            groups = join(groups, group);
        }
        column = join(column, groups);
    }
    return column;
}

@compute @workgroup_size(WORKGROUP)
fn split_column_write(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let index = group_index(workgroup) * WORKGROUP + invocation;
    let column = index % parameters.columns;
    let chunk = (index / parameters.columns) % parameters.chunks_here;
    let slab = index / parameters.columns / parameters.chunks_here;
    if slab >= parameters.slabs {
        return;
    }

    begin_row(slab, column);
    let row = joined_column(slab * parameters.chunks * parameters.columns + column);
    let walk = column_chunk(chunk);
    write_lane(walk, 0u, walk.first, walk.count, parameters.first_chunk + chunk == 0u, finish(row));
}
