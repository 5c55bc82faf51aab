// A lane's logits are read anew in every pass, for rows that no register file holds.

const BLOCK: u32 = 64u;
const BLOCKS: u32 = 64u * BLOCK;

fn take(walk: Walk) {}

fn lane_maximum(walk: Walk) -> u32 {
    var highest = 0u;
    for (var turn = 0u; turn < walk.count; turn += 1u) {
        highest = max(highest, sort_key(load_bits(walk.logits + turn * walk.step)));
    }
    return highest;
}

// Three levels, none of which adds more than 64 values in a chain: that keeps the rounding of a sum
// within a few units however long the row is.
fn lane_sum(walk: Walk, key: u32, scale: Scale) -> Sum {
    var sum = Sum(0u, 0.0);
    for (var outermost = 0u; outermost < walk.count; outermost += BLOCKS) {
        var blocks = Sum(0u, 0.0);
        let blocks_end = min(outermost + BLOCKS, walk.count);
        for (var first = outermost; first < blocks_end; first += BLOCK) {
            var block = Sum(0u, 0.0);
            let end = min(first + BLOCK, walk.count);
            for (var turn = first; turn < end; turn += 1u) {
                block = add(block, one(load_bits(walk.logits + turn * walk.step), key, scale));
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

fn taken(walk: Walk, turn: u32) -> u32 {
    return load_bits(walk.logits + turn * walk.step);
}
