// Rows that share a workgroup, written by all of its lanes.
fn write_group(walk: Walk, invocation: u32, first_slab: u32, inside: bool, row: Finish) {
    if inside && invocation % LANES == 0u {
        write_row_values(row);
    }
    let rows = min(WORKGROUP / LANES, max(parameters.slabs, first_slab) - first_slab);
    let first_result = parameters.result_start + first_slab * parameters.result_pitch;
    write_turns(walk, invocation, 0u, parameters.classes, rows, first_result, row);
}
