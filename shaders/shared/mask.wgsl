// A boolean mask, broadcast to the logits: a byte for each of its elements.

@group(0) @binding(5) var<storage, read> mask: array<u32>;

// Where the row's elements start.
var<private> mask_of_row: u32;

// The offset that part `part` (0 slabs, 1 classes, 2 columns) of a place has.
fn mask_place(part: u32, index: u32) -> u32 {
    let digits = (parameters.adjustment.mask_digits >> (8u * part)) & 0xffu;
    return place_of(
        index, digits, parameters.adjustment.mask[2u * part], parameters.adjustment.mask[2u * part + 1u]);
}

fn begin_mask(slab: u32, column: u32) {
    mask_of_row = parameters.adjustment.mask_start + mask_place(0u, slab) + mask_place(2u, column);
}

fn mask_allows(j: u32) -> bool {
    let place = mask_of_row + mask_place(1u, j);
    return ((mask[place >> 2u] >> (8u * (place & 3u))) & 0xffu) != 0u;
}
