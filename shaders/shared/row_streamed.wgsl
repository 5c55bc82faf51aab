// A lane's logits are read anew in every pass, for rows that no register file holds.

const BLOCK: u32 = 16u;
const BLOCKS: u32 = 16u * BLOCK;

fn take(walk: Walk) {}

fn lane_maximum(walk: Walk) -> u32 {
    var highest = 0u;
    for (var turn = 0u; turn < walk.count; turn += 1u) {
        highest = max(highest, greatest_key(taken(walk, turn)));
    }
    return highest;
}

// Three levels, the lower two of which add 16 values in a chain and the last at most 64: that keeps the
// rounding of a sum within a few units however long the row is, also where all terms are alike and their
// roundings never cancel. A block is all that lanes ever hold.
fn lane_sum(walk: Walk, key: u32, scale: Scale) -> Sum {
    var sum = no_sum();
    for (var outermost = 0u; outermost < walk.count; outermost += BLOCKS) {
        var blocks = no_sum();
        let blocks_end = min(outermost + BLOCKS, walk.count);
        for (var first = outermost; first < blocks_end; first += BLOCK) {
            var block = no_sum();
            let end = min(first + BLOCK, walk.count);
            for (var turn = first; turn < end; turn += 1u) {
                let classes = classes_from(class_at(walk, turn), walk.end);
                block = add(block, four(taken(walk, turn), taken_operand(walk, turn), classes, key, scale));
            }
            blocks = add(blocks, block);
        }
        sum = add(sum, blocks);
    }
    return sum;
}

fn turns(walk: Walk) -> u32 {
    return walk.count;
}

fn turns_of_row(classes: u32) -> u32 {
    return (classes + 4u * LANES - 1u) / (4u * LANES);
}

fn taken(walk: Walk, turn: u32) -> vec4<u32> {
    return logits_from(class_at(walk, turn), walk.end);
}
