// The columns of a tile so narrow that neighbouring lanes hold too few neighbours to fill a line: what the workgroup
// finishes in a turn is brought together in workgroup memory and stored in the order in which it lies.

var<workgroup> finished_quads: array<vec4<u32>, WORKGROUP>;

// Every lane of the workgroup has to come here.
fn write_tile(walk: Walk, place: Place, first: u32, classes: u32, first_chunk: bool, row: Finish) {
    if place.inside && place.lane == 0u && first_chunk {
        write_row_values(row);
    }
    let columns = min(columns_of_tile(), parameters.columns - place.first_column);
    let slabs = min(slabs_of_tile(), max(parameters.slabs, place.first_slab) - place.first_slab);
    let first_result = parameters.result_start + place.first_slab * parameters.result_pitch + place.first_column;
    let breadth = 4u * LANES;
    for (var turn = 0u; turn < turns_of_row(classes); turn += 1u) {
        let start = turn * breadth;
        if start < classes {
            if turn < walk.count {
                let j = class_at(walk, turn);
                let bits = taken(walk, turn);
                let others = taken_operand(walk, turn);
                let classes_here = classes_from(j, walk.end);
                finished_quads[seat] = vec4<u32>(
                    finished(bits.x, others.x, classes_here.x, row), finished(bits.y, others.y, classes_here.y, row),
                    finished(bits.z, others.z, classes_here.z, row), finished(bits.w, others.w, classes_here.w, row));
            }
            workgroupBarrier();
            let width = min(breadth, classes - start);
            for (var word = seat; word < slabs * width * columns; word += WORKGROUP) {
                let slab = word / (width * columns);
                let class_here = (word / columns) % width;
                let column = word % columns;
                let finisher = (slab * LANES + class_here % LANES) * columns_of_tile() + column;
                let j = first + start + class_here;
                store_result(
                    first_result + slab * parameters.result_pitch + j * parameters.inner + column,
                    finished_quads[finisher][class_here / LANES]);
            }
            workgroupBarrier();
        }
    }
}
