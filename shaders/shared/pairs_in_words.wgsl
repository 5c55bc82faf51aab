// A block of a Jacobian, column by column. Where a row has fewer columns than there are lanes, the lanes take
// several rows at once.

// What a lane has of the columns stays with it.
fn keep_classes(lane: u32, row: Finish) {}

fn write_pairs(lane: u32, first: u32, rows: u32, result: u32, row: Finish) {
    for (var j = lane % parameters.across; j < parameters.classes; j += parameters.across) {
        let bits = logit(j);
        let p = probability(bits, row);
        for (var i = lane / parameters.across; i < rows; i += LANES / parameters.across) {
            store_result(result + i * parameters.classes + j, derivative(i, first + i, j, bits, p, row));
        }
    }
}
