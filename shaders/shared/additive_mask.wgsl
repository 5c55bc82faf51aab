// An additive mask, broadcast to the logits: an f32 for each of its elements.

@group(0) @binding(8) var<storage, read> additive_mask: array<u32>;

// Where the row's elements start.
var<private> additive_of_row: u32;

fn begin_additive_mask(slab: u32, column: u32) {
    let digits = parameters.adjustment.additive_digits;
    additive_of_row = parameters.adjustment.additive_start
        + place_of(slab, digits & 0xffu, parameters.adjustment.additive[0], parameters.adjustment.additive[1])
        + place_of(column, digits >> 16u, parameters.adjustment.additive[4], parameters.adjustment.additive[5]);
}

fn with_additive_mask(bits: vec4<u32>, classes: vec4<u32>) -> vec4<u32> {
    let digits = (parameters.adjustment.additive_digits >> 8u) & 0xffu;
    let places = additive_of_row
        + places_of(classes, digits, parameters.adjustment.additive[2], parameters.adjustment.additive[3]);
    return sum_of_bits(bits, vec4<u32>(
        additive_mask[places.x], additive_mask[places.y], additive_mask[places.z], additive_mask[places.w]));
}
