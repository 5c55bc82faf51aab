// A value for every logit, two of which share a word. Along the last axis a lane takes words, not the
// elements it walked, so that it stores both halves at once; only a word that belongs to two rows is
// changed by halves. What is loaded again for that comes from the cache.

fn finished(j: u32, row: Finish) -> u32 {
    let bits = logit(j);
    let value = element_result(bits, operand(j), j, row);
    return select(value, MASKED_RESULT, is_masked(bits) && !row.is_empty);
}

fn write_class(j: u32, end: u32, row: Finish) {
    if j < end {
        store_result(result_of_row + j * parameters.inner, finished(j, row));
    }
}

fn write_lane(walk: Walk, lane: u32, first: u32, classes: u32, first_chunk: bool, row: Finish) {
    if lane == 0u && first_chunk {
        write_row_values(row);
    }
    if parameters.inner != 1u {
        for (var turn = 0u; turn < walk.count; turn += 1u) {
            let quad = quad_of_classes(class_at(walk, turn));
            write_class(quad.x, walk.end, row);
            write_class(quad.y, walk.end, row);
            write_class(quad.z, walk.end, row);
            write_class(quad.w, walk.end, row);
        }
        return;
    }
    let start = result_of_row + first;
    let end = start + classes;
    for (var word = (start >> 1u) + lane; 2u * word < end; word += LANES) {
        // Where a half belongs to another row, its neighbour stands in for it.
        let low = finished(max(2u * word, start) - result_of_row, row);
        let high = finished(min(2u * word + 1u, end - 1u) - result_of_row, row);
        if 2u * word < start {
            store_result(2u * word + 1u, high);
        } else if 2u * word + 1u >= end {
            store_result(2u * word, low);
        } else {
            store_word(word, stored(low) | (stored(high) << 16u));
        }
    }
}
