// A lane's operands are read anew in every pass.

fn hold_operand(turn: u32, j: u32, end: u32) {}

fn taken_operand(walk: Walk, turn: u32) -> vec4<u32> {
    return operands_from(class_at(walk, turn), walk.end);
}
