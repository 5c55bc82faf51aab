// What the four logits of a quad come to. Those that are none have the lowest key, and no term.

fn greatest_key(bits: vec4<u32>) -> u32 {
    let keys = max(vec2<u32>(sort_key(bits.x), sort_key(bits.y)), vec2<u32>(sort_key(bits.z), sort_key(bits.w)));
    return max(keys.x, keys.y);
}

fn four(bits: vec4<u32>, others: vec4<u32>, classes: vec4<u32>, key: u32, scale: Scale) -> Sum {
    let first = add(one(bits.x, others.x, classes.x, key, scale), one(bits.y, others.y, classes.y, key, scale));
    let last = add(one(bits.z, others.z, classes.z, key, scale), one(bits.w, others.w, classes.w, key, scale));
    return add(first, last);
}
