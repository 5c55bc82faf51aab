// f32 storage: an element is one word. Elements travel as the bits of an f32, since comparisons and special
// values are decided on bits.

fn f32_word(element: u32) -> u32 {
    return element;
}

fn f32_loaded(word: u32, element: u32) -> u32 {
    return word;
}

fn f32_stored(bits: u32) -> u32 {
    return bits;
}
