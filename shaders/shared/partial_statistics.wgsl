// Statistics on their way from one dispatch to the next.

@group(0) @binding(3) var<storage, read_write> partials: array<vec4<u32>>;

fn store_partial(place: u32, part: Statistics) {
    partials[place] = vec4<u32>(part.key, bitcast<u32>(part.exponent), part.maxima, bitcast<u32>(part.others));
}

fn load_partial(place: u32) -> Statistics {
    let words = partials[place];
    return Statistics(words.x, bitcast<i32>(words.y), words.z, bitcast<f32>(words.w));
}
