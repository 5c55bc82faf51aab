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
    let walk = walk_of_lane(lane, LANES, logits_at(slab), result_at(slab), parameters.classes);

    let row = row_statistics(walk, lane);
    write_lane(walk, result_at(slab), lane == 0u, finish(row));
}
