// The operand, word by word.

@group(0) @binding(4) var<storage, read> second_operand: array<u32>;

fn operand_word(word: u32) -> u32 {
    return second_operand[word];
}

// That of a quad; 0 beyond the end.
fn operands_from(j: u32, end: u32) -> vec4<u32> {
    let places = places_from(operand_of_row, j, end);
    let bits = vec4<u32>(
        load_operand(places.x), load_operand(places.y), load_operand(places.z), load_operand(places.w));
    return select(vec4<u32>(), bits, quad_of_classes(j) < vec4<u32>(end));
}
