// The row that this invocation works on: every element is found by its class.

// Where class 0 lies, in each buffer.
var<private> logits_of_row: u32;
var<private> result_of_row: u32;
var<private> operand_of_row: u32;
// The row among all of the operation.
var<private> row_index: u32;

fn begin_row(slab: u32, column: u32) {
    logits_of_row = parameters.logits_start + slab * parameters.logits_pitch + column;
    result_of_row = parameters.result_start + slab * parameters.result_pitch + column;
    operand_of_row = parameters.operand_start + slab * parameters.operand_pitch + column;
    let slab_of_all = parameters.first_slab + slab;
    let column_of_all = parameters.first_column + column;
    row_index = slab_of_all * parameters.inner + column_of_all;
    begin_adjustment(slab_of_all, column_of_all);
    begin_targets();
}

// The classes that one lane is charged with: `count` quads, of four classes each, that start `step` classes
// apart. What of a quad is not before `end` is no class of this walk.
struct Walk {
    first: u32,
    step: u32,
    count: u32,
    end: u32,
}

// The first class of the quad at `turn`.
fn class_at(walk: Walk, turn: u32) -> u32 {
    return walk.first + turn * walk.step;
}
