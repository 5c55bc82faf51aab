// One value for every row, which its first lane writes.

fn write_lane(walk: Walk, result_of_row: u32, first_lane: bool, row: Finish) {
    if first_lane {
        store_bits(result_of_row, row_result(row));
    }
}
