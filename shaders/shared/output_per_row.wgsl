// One value for every row, which its first lane writes.

fn write_lane(walk: Walk, lane: u32, first: u32, classes: u32, first_chunk: bool, row: Finish) {
    if lane == 0u && first_chunk {
        store_result(result_of_row, row_result(row));
    }
}
