// A block of a Jacobian, by quads of columns that stay in registers while their rows go by.

// What a lane has of the columns stays with it.
fn keep_classes(lane: u32, row: Finish) {}

fn write_pairs(lane: u32, first: u32, rows: u32, result: u32, row: Finish) {
    let across = max(parameters.across / 4u, 1u);
    for (var j = 4u * (lane % across); j < parameters.classes; j += 4u * across) {
        let bits = logits_from(j, parameters.classes);
        let p = vec4<f32>(
            probability(bits.x, row), probability(bits.y, row), probability(bits.z, row), probability(bits.w, row));
        for (var i = lane / across; i < rows; i += LANES / across) {
            let values = vec4<u32>(
                derivative(i, first + i, j, bits.x, p.x, row), derivative(i, first + i, j + 1u, bits.y, p.y, row),
                derivative(i, first + i, j + 2u, bits.z, p.z, row),
                derivative(i, first + i, j + 3u, bits.w, p.w, row));
            store_result_quad((result + i * parameters.classes + j) / 4u, values);
        }
    }
}
