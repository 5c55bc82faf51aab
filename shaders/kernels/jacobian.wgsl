// (N, K) → (N, K, K): a workgroup takes a row's statistics, then writes a block of rows of the row's
// Jacobian. A chunk is such a block; neighbouring lanes write neighbouring columns.

// Rows of a block, at most.
const BLOCK_ROWS: u32 = 64u;

var<workgroup> block_probabilities: array<f32, BLOCK_ROWS>;
var<workgroup> block_complements: array<f32, BLOCK_ROWS>;

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
    let logits = logits_at(slab);
    let walk = walk_of_lane(lane, LANES, logits, 0u, parameters.classes);
    let row = finish(row_statistics(walk, lane));

    let first = parameters.first_class + block * parameters.chunk;
    let rows = chunk_length(block);
    for (var i = lane; i < rows; i += LANES) {
        let bits = load_bits(logits + first + i);
        block_probabilities[i] = probability(bits, row);
        block_complements[i] = complement(bits, row);
    }
    workgroupBarrier();

    // Where a row has fewer columns than there are lanes, the lanes take several rows at once.
    let result = result_at(slab) + block * parameters.chunk * parameters.classes;
    for (var j = lane % parameters.across; j < parameters.classes; j += parameters.across) {
        let p_j = probability(load_bits(logits + j), row);
        for (var i = lane / parameters.across; i < rows; i += LANES / parameters.across) {
            let p_i = block_probabilities[i];
            let value = select(off_diagonal(p_i, p_j), on_diagonal(p_i, block_complements[i]), first + i == j);
            store_bits(result + i * parameters.classes + j, select(bitcast<u32>(value), row.special, row.is_special));
        }
    }
}
