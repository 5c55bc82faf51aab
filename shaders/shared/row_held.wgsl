// A lane's logits are read once and kept in registers. `HELD` is a line that the assembly writes.

const BLOCK: u32 = 8u;

var<private> held: array<u32, HELD>;

fn take(walk: Walk) {
    for (var turn = 0u; turn < HELD; turn += 1u) {
        if turn < walk.count {
            held[turn] = logit(class_at(walk, turn));
            hold_operand(turn, class_at(walk, turn));
        }
    }
}

fn lane_maximum(walk: Walk) -> u32 {
    var highest = 0u;
    for (var turn = 0u; turn < HELD; turn += 1u) {
        if turn < walk.count {
            highest = max(highest, sort_key(held[turn]));
        }
    }
    return highest;
}

// In short chains, so that roundings stay few where all terms are alike.
fn lane_sum(walk: Walk, key: u32, scale: Scale) -> Sum {
    var sum = no_sum();
    for (var first = 0u; first < HELD; first += BLOCK) {
        var block = no_sum();
        for (var turn = first; turn < min(first + BLOCK, HELD); turn += 1u) {
            if turn < walk.count {
                block = add(block, one(held[turn], taken_operand(walk, turn), class_at(walk, turn), key, scale));
            }
        }
        sum = add(sum, block);
    }
    return sum;
}

fn turns(walk: Walk) -> u32 {
    return HELD;
}

fn taken(walk: Walk, turn: u32) -> u32 {
    return held[turn];
}
