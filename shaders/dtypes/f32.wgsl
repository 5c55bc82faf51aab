// f32 storage: a logit is one word. Elements travel as the bits of an f32, since comparisons and
// special values are decided on bits.

fn load_bits(element: u32) -> u32 {
    return load_word(element);
}

fn store_bits(element: u32, bits: u32) {
    store_word(element, bits);
}
