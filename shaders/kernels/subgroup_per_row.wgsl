// Short rows: LANES neighbouring lanes of one subgroup take a row, several rows fill a workgroup.
// They meet in shuffles alone, or in a barrier before their stores, so rows past the end keep their lanes in step
// and only skip the stores.

@compute @workgroup_size(WORKGROUP)
fn subgroup_per_row(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let lane = invocation % LANES;
    let slab = group_index(workgroup) * (WORKGROUP / LANES) + invocation / LANES;
    let inside = slab < parameters.slabs;
    begin_row(select(0u, slab, inside), 0u);
    let walk = walk_of_lane(lane, LANES, 0u, select(0u, parameters.classes, inside));

    let row = row_statistics(walk, lane);
    write_group(walk, invocation, slab - invocation / LANES, inside, finish(row));
}
