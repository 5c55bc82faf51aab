// Where the elements of a mask lie that are broadcast to the logits.

// The offset of an index whose digits have these lengths and strides, two in each vector. Written out: loops within loops
// would use up the turns that a software driver grants.
fn place_of(index: u32, digits: u32, low: vec4<u32>, high: vec4<u32>) -> u32 {
    if digits == 0u {
        return 0u;
    }
    var place = (index % low.x) * low.y;
    if digits > 1u {
        let second = index / low.x;
        let third = second / low.z;
        place += (second % low.z) * low.w + (third % high.x) * high.y + (third / high.x % high.z) * high.w;
    }
    return place;
}

// The offsets of the four classes of a quad, or of one that stands there four times, and is looked for once.
fn places_of(classes: vec4<u32>, digits: u32, low: vec4<u32>, high: vec4<u32>) -> vec4<u32> {
    if digits == 0u {
        return vec4<u32>(0u);
    }
    if digits == 1u {
        // A digit as long as the row.
        return classes * low.y;
    }
    // A loop of a length that compilers do not know: divisions are long, and nobody has to write them out four times.
    let count = select(1u, 4u, classes.x != classes.w);
    var places = vec4<u32>(0u);
    for (var turn = 0u; turn < count; turn += 1u) {
        let place = place_of(classes[turn], digits, low, high);
        places = select(places, vec4<u32>(place), vec4<u32>(0u, 1u, 2u, 3u) >= vec4<u32>(turn));
    }
    return places;
}
