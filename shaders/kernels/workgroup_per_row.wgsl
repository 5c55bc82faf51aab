// One workgroup takes a row: maximum, exponentials, sum, then every lane finishes its own classes.

@compute @workgroup_size(WORKGROUP)
fn workgroup_per_row(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let slab = group_index(workgroup);
    if slab >= parameters.slabs {
        return;
    }
    begin_row(slab, 0u);
    let walk = walk_of_lane(lane, LANES, 0u, parameters.classes);

    let row = row_statistics(walk, lane);
    write_lane(walk, lane, 0u, parameters.classes, true, finish(row));
}
