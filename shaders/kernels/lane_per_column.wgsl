// An axis that is not the last: neighbouring lanes walk neighbouring rows, so that what they load at
// each step lies side by side. Chunks are joined just as split_column_write joins them.

@compute @workgroup_size(WORKGROUP)
fn lane_per_column(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let index = group_index(workgroup) * WORKGROUP + invocation;
    let slab = index / parameters.columns;
    if slab >= parameters.slabs {
        return;
    }
    begin_row(slab, index % parameters.columns);

    let row = whole_column_statistics();
    let whole = walk_alone(0u, parameters.classes);
    write_lane(whole, 0u, 0u, parameters.classes, true, finish(row));
}
