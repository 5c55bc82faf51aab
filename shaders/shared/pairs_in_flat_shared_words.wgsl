// A block of a Jacobian, two elements of which share a word: a lane takes words, so that it stores both halves at once.
// Only a word that belongs to two blocks is changed by halves.

fn position_before(at: vec2<u32>) -> vec2<u32> {
    let starts = at.y == 0u;
    return vec2<u32>(at.x - select(0u, 1u, starts), select(at.y, parameters.classes, starts) - 1u);
}

fn write_pairs(lane: u32, first: u32, rows: u32, result: u32, row: Finish) {
    let end = result + rows * parameters.classes;
    let step = position(2u * LANES);
    // Of the upper half: where a block starts in the middle of a word, the lower one there is not its own.
    var at = position(2u * lane + 1u - (result & 1u));
    for (var word = (result >> 1u) + lane; 2u * word < end; word += LANES) {
        if 2u * word < result {
            store_result(2u * word + 1u, derivative_at(at, first, row));
        } else if 2u * word + 1u >= end {
            store_result(2u * word, derivative_at(position_before(at), first, row));
        } else {
            let low = stored(derivative_at(position_before(at), first, row));
            store_word(word, low | (stored(derivative_at(at, first, row)) << 16u));
        }
        at = moved(at, step);
    }
}
