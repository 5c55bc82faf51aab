// A value for every logit, of rows that do not lie at quads: what a workgroup finishes in a turn is brought together in
// workgroup memory, so that neighbouring lanes store neighbouring words and a row's end is next to the beginning of the
// following one. Four words apart from each other, lanes would store each line in four parts.

var<workgroup> finished_quads: array<vec4<u32>, WORKGROUP>;

// Of `rows` rows, LANES lanes each, the classes from `first` on. Every lane of the workgroup has to come here.
fn write_turns(walk: Walk, invocation: u32, first: u32, classes: u32, rows: u32, first_result: u32, row: Finish) {
    let breadth = 4u * LANES;
    for (var turn = 0u; turn < turns_of_row(classes); turn += 1u) {
        let start = turn * breadth;
        if start < classes {
            if turn < walk.count {
                let j = class_at(walk, turn);
                let bits = taken(walk, turn);
                let others = taken_operand(walk, turn);
                let classes_here = classes_from(j, walk.end);
                finished_quads[invocation] = vec4<u32>(
                    finished(bits.x, others.x, classes_here.x, row), finished(bits.y, others.y, classes_here.y, row),
                    finished(bits.z, others.z, classes_here.z, row), finished(bits.w, others.w, classes_here.w, row));
            }
            workgroupBarrier();
            let width = min(breadth, classes - start);
            for (var word = invocation; word < rows * width; word += WORKGROUP) {
                let slab = word / width;
                let place = slab * breadth + word % width;
                let j = first + start + word % width;
                store_result(
                    first_result + slab * parameters.result_pitch + j, finished_quads[place / 4u][place % 4u]);
            }
            workgroupBarrier();
        }
    }
}

// A row, or a part of one, by the workgroup that has it.
fn write_lane(walk: Walk, lane: u32, first: u32, classes: u32, first_chunk: bool, row: Finish) {
    if lane == 0u && first_chunk {
        write_row_values(row);
    }
    write_turns(walk, lane, first, classes, 1u, result_of_row, row);
}
