// (N, K) → (N, K, K): a workgroup takes a row's statistics, then writes a block of rows of the row's
// Jacobian. A chunk is such a block; neighbouring lanes write neighbouring columns.

// Rows of a block, at most.
const BLOCK_ROWS: u32 = 64u;

var<workgroup> block_logits: array<u32, BLOCK_ROWS>;
var<workgroup> block_probabilities: array<f32, BLOCK_ROWS>;
var<workgroup> block_complements: array<f32, BLOCK_ROWS>;

fn derivative(i: u32, bits_i: u32, p_i: f32, complement_i: f32, j: u32, bits_j: u32, p_j: f32, row: Finish) -> u32 {
    let value = select(off_diagonal(p_i, p_j), on_diagonal(p_i, complement_i), i == j) * inverse_temperature();
    let finite = select(bitcast<u32>(value), row.special, row.is_special);
    return select(finite, 0u, (is_masked(bits_i) || is_masked(bits_j)) && !row.is_empty);
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
    workgroupBarrier();

    // Where a row has fewer columns than there are lanes, the lanes take several rows at once.
    let result = result_of_row + block * parameters.chunk * parameters.classes;
    for (var j = lane % parameters.across; j < parameters.classes; j += parameters.across) {
        let bits = logit(j);
        let p = probability(bits, row);
        for (var i = lane / parameters.across; i < rows; i += LANES / parameters.across) {
            let value = derivative(
                first + i, block_logits[i], block_probabilities[i], block_complements[i], j, bits, p, row);
            store_result(result + i * parameters.classes + j, value);
        }
    }
}
