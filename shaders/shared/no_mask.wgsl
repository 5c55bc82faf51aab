// There is no boolean mask.

fn begin_mask(slab: u32, column: u32) {}

fn mask_allows(j: u32) -> bool {
    return true;
}
