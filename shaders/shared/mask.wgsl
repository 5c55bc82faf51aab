// A boolean mask, broadcast to the logits: a byte for each of its elements.

@group(0) @binding(5) var<storage, read> mask: array<u32>;

// Where the row's elements start.
var<private> mask_of_row: u32;

fn begin_mask(slab: u32, column: u32) {
    let digits = parameters.adjustment.mask_digits;
    mask_of_row = parameters.adjustment.mask_start
        + place_of(slab, digits & 0xffu, parameters.adjustment.mask[0], parameters.adjustment.mask[1])
        + place_of(column, digits >> 16u, parameters.adjustment.mask[4], parameters.adjustment.mask[5]);
}

fn mask_allows(classes: vec4<u32>) -> vec4<bool> {
    let digits = (parameters.adjustment.mask_digits >> 8u) & 0xffu;
    let places = mask_of_row
        + places_of(classes, digits, parameters.adjustment.mask[2], parameters.adjustment.mask[3]);
    let words = vec4<u32>(
        mask[places.x >> 2u], mask[places.y >> 2u], mask[places.z >> 2u], mask[places.w >> 2u]);
    return ((words >> (8u * (places & vec4<u32>(3u)))) & vec4<u32>(0xffu)) != vec4<u32>(0u);
}
