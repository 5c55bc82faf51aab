// An additive mask, broadcast to the logits: an f32 for each of its elements.

@group(0) @binding(8) var<storage, read> additive_mask: array<u32>;

// Where the row's elements start.
var<private> additive_of_row: u32;

fn additive_place(part: u32, index: u32) -> u32 {
    let digits = (parameters.adjustment.additive_digits >> (8u * part)) & 0xffu;
    return place_of(
        index, digits, parameters.adjustment.additive[2u * part], parameters.adjustment.additive[2u * part + 1u]);
}

fn begin_additive_mask(slab: u32, column: u32) {
    additive_of_row =
        parameters.adjustment.additive_start + additive_place(0u, slab) + additive_place(2u, column);
}

fn with_additive_mask(bits: u32, j: u32) -> u32 {
    return sum_of_bits(bits, additive_mask[additive_of_row + additive_place(1u, j)]);
}
