// A value for every logit: each lane finishes the elements it walked.

fn finished(bits: u32, other: u32, j: u32, row: Finish) -> u32 {
    let value = element_result(bits, other, j, row);
    return select(value, MASKED_RESULT, is_masked(bits) && !row.is_empty);
}

fn write_lane(walk: Walk, lane: u32, first: u32, classes: u32, first_chunk: bool, row: Finish) {
    if lane == 0u && first_chunk {
        write_row_values(row);
    }
    for (var turn = 0u; turn < turns(walk); turn += 1u) {
        if turn < walk.count {
            let j = class_at(walk, turn);
            let value = finished(taken(walk, turn), taken_operand(walk, turn), j, row);
            store_result(result_of_row + j * parameters.inner, value);
        }
    }
}
