// A lane's operands are read anew in every pass.

fn hold_operand(turn: u32, j: u32) {}

fn taken_operand(walk: Walk, turn: u32) -> u32 {
    return operand(class_at(walk, turn));
}
