// There is no additive mask.

fn begin_additive_mask(slab: u32, column: u32) {}

fn with_additive_mask(bits: u32, j: u32) -> u32 {
    return bits;
}
