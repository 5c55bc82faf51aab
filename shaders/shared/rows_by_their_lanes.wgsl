// Rows that share a workgroup, each of which is written by its own lanes.
fn write_group(walk: Walk, invocation: u32, first_slab: u32, inside: bool, row: Finish) {
    if inside {
        write_lane(walk, invocation % LANES, 0u, parameters.classes, true, row);
    }
}
