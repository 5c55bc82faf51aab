// A value for every logit: each lane finishes the elements it walked.

fn write_lane(walk: Walk, result_of_row: u32, first_lane: bool, row: Finish) {
    for (var turn = 0u; turn < turns(walk); turn += 1u) {
        if turn < walk.count {
            store_bits(walk.result + turn * walk.step, element_result(taken(walk, turn), row));
        }
    }
}
