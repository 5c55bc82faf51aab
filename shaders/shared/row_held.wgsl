// A lane's logits are read once and kept in registers. `HELD`, how many quads, is a line that the assembly
// writes.

var<private> held: array<vec4<u32>, HELD>;

fn take(walk: Walk) {
    for (var turn = 0u; turn < HELD; turn += 1u) {
        if turn < walk.count {
            held[turn] = logits_from(class_at(walk, turn), walk.end);
            hold_operand(turn, class_at(walk, turn), walk.end);
        }
    }
}

fn lane_maximum(walk: Walk) -> u32 {
    var highest = 0u;
    for (var turn = 0u; turn < HELD; turn += 1u) {
        if turn < walk.count {
            highest = max(highest, greatest_key(held[turn]));
        }
    }
    return highest;
}

// One chain, as short as that of a block where lanes hold nothing.
fn lane_sum(walk: Walk, key: u32, scale: Scale) -> Sum {
    var sum = no_sum();
    for (var turn = 0u; turn < HELD; turn += 1u) {
        if turn < walk.count {
            let classes = classes_from(class_at(walk, turn), walk.end);
            sum = add(sum, four(held[turn], taken_operand(walk, turn), classes, key, scale));
        }
    }
    return sum;
}

fn turns(walk: Walk) -> u32 {
    return HELD;
}

// Those of the lane that has most of so many classes, or more.
fn turns_of_row(classes: u32) -> u32 {
    return HELD;
}

fn taken(walk: Walk, turn: u32) -> vec4<u32> {
    return held[turn];
}
