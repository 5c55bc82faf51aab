// A quad of classes that is loaded as a whole.

fn classes_from(j: u32, end: u32) -> vec4<u32> {
    return j + vec4<u32>(0u, 1u, 2u, 3u);
}

fn logits_from(j: u32, end: u32) -> vec4<u32> {
    return as_logits(load_logits_quad((logits_of_row + j) / 4u), classes_from(j, end));
}
