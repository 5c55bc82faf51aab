// The second half of a long column: each lane joins its column's partial statistics, in the order in
// which lane_per_column does, and finishes one chunk.

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

    var row = nothing();
    for (var first = 0u; first < parameters.chunks; first += PARTIALS_IN_A_GROUP) {
        var group = nothing();
        let end = min(first + PARTIALS_IN_A_GROUP, parameters.chunks);
        for (var part = first; part < end; part += 1u) {
            group = join(group, load_partial((slab * parameters.chunks + part) * parameters.columns + column));
        }
        row = join(row, group);
    }

    let result = result_at(slab) + column;
    let walk = column_chunk(chunk, logits_at(slab) + column, result);
    write_lane(walk, result, true, finish(row));
}
