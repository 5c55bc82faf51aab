// A quad of classes that is loaded as a whole.

fn classes_from(j: u32, end: u32) -> vec4<u32> {
    return j + vec4<u32>(0u, 1u, 2u, 3u);
}

fn logits_from(j: u32, end: u32) -> vec4<u32> {
    let bits = load_logits_quad((logits_of_row + j) / 4u);
    return vec4<u32>(
        as_logit(bits.x, j), as_logit(bits.y, j + 1u), as_logit(bits.z, j + 2u), as_logit(bits.w, j + 3u));
}
