// A lane's logits are read once and kept in registers. `HELD` is a line that the assembly writes.

var<private> held: array<u32, HELD>;

fn take(walk: Walk) {
    for (var turn = 0u; turn < HELD; turn += 1u) {
        if turn < walk.count {
            held[turn] = load_bits(walk.logits + turn * walk.step);
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

// HELD is at most 32, so this chain of additions needs no blocks.
fn lane_sum(walk: Walk, key: u32, scale: Scale) -> Sum {
    var sum = Sum(0u, 0.0);
    for (var turn = 0u; turn < HELD; turn += 1u) {
        if turn < walk.count {
            sum = add(sum, one(held[turn], key, scale));
        }
    }
    return sum;
}

fn turns(walk: Walk) -> u32 {
    return HELD;
}

fn taken(walk: Walk, turn: u32) -> u32 {
    return held[turn];
}
