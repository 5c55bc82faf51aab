// An axis that is not the last: a workgroup takes a tile of neighbouring columns, several lanes each, which meet in
// workgroup memory.

@compute @workgroup_size(WORKGROUP)
fn tile_of_columns(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let group = group_index(workgroup);
    let place = place_in_tile(group % tiles_of_slab(), group / tiles_of_slab(), invocation);
    begin_row(place.slab, place.column);
    let walk = walk_in_tile(place, 0u, parameters.classes);

    let row = row_statistics(walk, place.lane);
    write_tile(walk, place, 0u, parameters.classes, true, finish(row));
}
