// Logits as they are stored.

fn begin_adjustment(slab: u32, column: u32) {}

fn logit(j: u32) -> u32 {
    return load_logits(logits_of_row + j * parameters.inner);
}

fn is_nan(bits: u32) -> bool {
    return (bits & 0x7fffffffu) > INFINITY_BITS;
}

fn is_masked(bits: u32) -> bool {
    return false;
}

// What a derivative by the stored logit has beside that by the one here.
fn inverse_temperature() -> f32 {
    return 1.0;
}
