// A block of a Jacobian word by word: neighbouring lanes store neighbouring words, and none is idle but in the last
// turn.
//
// Where a row has an odd number of classes, only every fourth Jacobian starts at a quad, and two workgroups share the
// quads at their ends. Storing the quads between as a whole would need the result as an array of vectors, in which the
// words at the ends are components; and storing one component may write all of its vector, over what another workgroup
// has stored. Nor can the result be bound twice, as words and as vectors: a buffer that is written has one binding.

fn write_pairs(lane: u32, first: u32, rows: u32, result: u32, row: Finish) {
    let elements = rows * parameters.classes;
    let step = position(LANES);
    var at = position(lane);
    for (var e = lane; e < elements; e += LANES) {
        store_result(result + e, derivative_at(at, first, row));
        at = moved(at, step);
    }
}
