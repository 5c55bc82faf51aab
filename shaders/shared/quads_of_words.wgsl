// A quad of classes, each of which is loaded from wherever it stands. Beyond the end the first class is loaded
// again, so that four loads are on their way at once, whatever the row's length.

// The quad's classes; all beyond the end are that after the row's last.
fn classes_from(j: u32, end: u32) -> vec4<u32> {
    let quad = quad_of_classes(j);
    return select(vec4<u32>(parameters.classes), quad, quad < vec4<u32>(end));
}

// Where the quad's elements stand, of a row that starts at `row`.
fn places_from(row: u32, j: u32, end: u32) -> vec4<u32> {
    // The same for all quads, so that one product is left to each.
    let steps = parameters.inner * quad_of_classes(0u);
    // Not the least of two places: where a window starts late in its row, places are counted modulo 2³².
    let inside = quad_of_classes(j) < vec4<u32>(end);
    let first = row + j * parameters.inner;
    return first + select(vec4<u32>(0u), steps, inside);
}

// The quad's logits; all beyond the end are none.
fn logits_from(j: u32, end: u32) -> vec4<u32> {
    let places = places_from(logits_of_row, j, end);
    let bits = vec4<u32>(
        load_logits(places.x), load_logits(places.y), load_logits(places.z), load_logits(places.w));
    let quad = quad_of_classes(j);
    let there = min(quad, vec4<u32>(end - 1u));
    return select(vec4<u32>(NO_LOGIT), as_logits(bits, there), quad < vec4<u32>(end));
}
