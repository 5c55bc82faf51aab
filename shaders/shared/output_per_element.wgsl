// A value for every logit: each lane finishes the elements it walked.

fn write_lane(walk: Walk, lane: u32, first: u32, classes: u32, first_chunk: bool, row: Finish) {
    if lane == 0u && first_chunk {
        write_row_values(row);
    }
    for (var turn = 0u; turn < turns(walk); turn += 1u) {
        if turn < walk.count {
            let j = class_at(walk, turn);
            let bits = taken(walk, turn);
            let others = taken_operand(walk, turn);
            let classes_here = classes_from(j, walk.end);
            store_results(j, walk.end, vec4<u32>(
                finished(bits.x, others.x, classes_here.x, row), finished(bits.y, others.y, classes_here.y, row),
                finished(bits.z, others.z, classes_here.z, row), finished(bits.w, others.w, classes_here.w, row)));
        }
    }
}
