// The first half of a row too long for one workgroup: each workgroup leaves the statistics of one chunk.

@compute @workgroup_size(WORKGROUP)
fn split_row_statistics(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = group_index(workgroup);
    let slab = index / parameters.chunks_here;
    let chunk = index % parameters.chunks_here;
    if slab >= parameters.slabs {
        return;
    }
    begin_row(slab, 0u);
    let walk = walk_of_lane(lane, LANES, chunk_start(chunk), chunk_length(chunk));

    let part = row_statistics(walk, lane);
    if lane == 0u {
        store_partial(slab * parameters.chunks + parameters.first_chunk + chunk, part);
    }
}
