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

alias f32_quad = vec4<u32>;

const f32_QUAD_WORDS: u32 = 4u;

fn f32_quad_loaded(words: f32_quad) -> vec4<u32> {
    return words;
}

fn f32_quad_stored(bits: vec4<u32>) -> f32_quad {
    return bits;
}
