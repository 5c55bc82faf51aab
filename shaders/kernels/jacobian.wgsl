// (N, K) → (N, K, K): a workgroup takes a row's statistics, then writes a block of rows of the row's
// Jacobian. A chunk is such a block; neighbouring lanes write neighbouring columns, or quads of them, or whatever
// follows each other in memory.

// Rows of a block, at most.
const BLOCK_ROWS: u32 = 64u;

var<workgroup> block_logits: array<u32, BLOCK_ROWS>;
var<workgroup> block_probabilities: array<f32, BLOCK_ROWS>;
var<workgroup> block_complements: array<f32, BLOCK_ROWS>;

// By the logit of class j, of the probability of row i of the block.
fn derivative(i: u32, class_of_row: u32, j: u32, bits_j: u32, p_j: f32, row: Finish) -> u32 {
    let p_i = block_probabilities[i];
    let diagonal = on_diagonal(p_i, block_complements[i]);
    let value = select(off_diagonal(p_i, p_j), diagonal, class_of_row == j) * inverse_temperature();
    let finite = select(bitcast<u32>(value), row.special, row.is_special);
    return select(finite, 0u, (is_masked(block_logits[i]) || is_masked(bits_j)) && !row.is_empty);
}

@compute @workgroup_size(WORKGROUP)
fn jacobian(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = group_index(workgroup);
    let slab = index / parameters.chunks_here;
    let block = index % parameters.chunks_here;
    if slab >= parameters.slabs {
        return;
    }
    begin_row(slab, 0u);
    let row = finish(row_statistics(walk_of_lane(lane, LANES, 0u, parameters.classes), lane));

    let first = chunk_start(block);
    let rows = chunk_length(block);
    for (var i = lane; i < rows; i += LANES) {
        let bits = logit(first + i);
        block_logits[i] = bits;
        block_probabilities[i] = probability(bits, row);
        block_complements[i] = complement(bits, row);
    }
    keep_classes(lane, row);
    workgroupBarrier();

    write_pairs(lane, first, rows, result_of_row + block * parameters.chunk * parameters.classes, row);
}
