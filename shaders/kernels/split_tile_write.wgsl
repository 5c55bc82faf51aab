// The second half of long columns: the lanes of a column join its partial statistics, and finish one chunk of it.

@compute @workgroup_size(WORKGROUP)
fn split_tile_write(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let group = group_index(workgroup);
    let tiles = group / tiles_of_slab();
    let chunk = tiles % parameters.chunks_here;
    let place = place_in_tile(group % tiles_of_slab(), tiles / parameters.chunks_here, invocation);
    begin_row(place.slab, place.column);
    let first_partial = place.slab * parameters.chunks * parameters.columns + place.column;
    let count = select(0u, parameters.chunks, place.inside);
    let row = finish(joined_partials(place.lane, first_partial, parameters.columns, count));

    let walk = walk_in_tile(place, chunk_start(chunk), chunk_length(chunk));
    write_tile(
        walk, place, chunk_start(chunk), chunk_length(chunk), parameters.first_chunk + chunk == 0u, row);
}
