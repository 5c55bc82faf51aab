// A block of a Jacobian by the quads that it consists of in memory, where its rows do not: a quad may start in one row
// and end in another. Neighbouring lanes store neighbouring quads, and none is idle but in the last turn.

fn write_pairs(lane: u32, first: u32, rows: u32, result: u32, row: Finish) {
    let elements = rows * parameters.classes;
    let one = position(1u);
    let step = position(4u * LANES);
    var at = position(4u * lane);
    for (var e = 4u * lane; e < elements; e += 4u * LANES) {
        let second = moved(at, one);
        let third = moved(second, one);
        let fourth = moved(third, one);
        let values = vec4<u32>(
            derivative_at(at, first, row), derivative_at(second, first, row), derivative_at(third, first, row),
            derivative_at(fourth, first, row));
        store_result_quad((result + e) / 4u, values);
        at = moved(at, step);
    }
}
