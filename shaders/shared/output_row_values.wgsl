// Values of rows alone, which the first lane writes.

fn write_lane(walk: Walk, lane: u32, first: u32, classes: u32, first_chunk: bool, row: Finish) {
    if lane == 0u && first_chunk {
        write_row_values(row);
    }
}
