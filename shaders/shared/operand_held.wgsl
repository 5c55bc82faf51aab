// A lane's operands are read once and kept in registers, beside its logits.

var<private> held_operand: array<vec4<u32>, HELD>;

fn hold_operand(turn: u32, j: u32, end: u32) {
    held_operand[turn] = operands_from(j, end);
}

fn taken_operand(walk: Walk, turn: u32) -> vec4<u32> {
    return held_operand[turn];
}
