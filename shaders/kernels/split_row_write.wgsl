// The second half of a long row: each workgroup joins the partial statistics of its row, in an order
// that depends on their number alone, and finishes one chunk.

@compute @workgroup_size(WORKGROUP)
fn split_row_write(
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
    let row = finish(joined_partials(lane, slab * parameters.chunks, 1u, parameters.chunks));

    let walk = walk_of_lane(lane, LANES, chunk_start(chunk), chunk_length(chunk));
    write_lane(walk, lane, chunk_start(chunk), chunk_length(chunk), parameters.first_chunk + chunk == 0u, row);
}
