// There is no additive mask.

fn begin_additive_mask(slab: u32, column: u32) {}

fn with_additive_mask(bits: vec4<u32>, classes: vec4<u32>) -> vec4<u32> {
    return bits;
}
