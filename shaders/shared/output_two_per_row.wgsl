// Two values for every row, which its first lane writes.

fn write_lane(walk: Walk, lane: u32, first: u32, classes: u32, first_chunk: bool, row: Finish) {
    if lane == 0u && first_chunk {
        let values = row_results(row);
        store_result(result_of_row, values.x);
        store_result(result_of_row + parameters.inner, values.y);
    }
}
