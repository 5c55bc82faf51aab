// The first half of columns too long for a tile, or wider than a binding: a workgroup takes a chunk of each column of a
// tile and leaves the chunks' statistics.

@compute @workgroup_size(WORKGROUP)
fn split_tile_statistics(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let group = group_index(workgroup);
    let tiles = group / tiles_of_slab();
    let chunk = tiles % parameters.chunks_here;
    let place = place_in_tile(group % tiles_of_slab(), tiles / parameters.chunks_here, invocation);
    begin_row(place.slab, place.column);
    let walk = walk_in_tile(place, chunk_start(chunk), chunk_length(chunk));

    let part = row_statistics(walk, place.lane);
    if place.inside && place.lane == 0u {
        let index = place.slab * parameters.chunks + parameters.first_chunk + chunk;
        store_partial(index * parameters.columns + place.column, part);
    }
}
