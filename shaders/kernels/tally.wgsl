// Before a mean loss: how many rows count, what their labels weigh, and whether a label names no class.
// One workgroup walks the labels; a row is a slab.

// Loss, counted rows, their weight, 1 + the first row whose label names no class, that label.
@group(0) @binding(10) var<storage, read_write> tallied: array<u32>;

const BLOCK: u32 = 16u;
const BLOCKS: u32 = 16u * BLOCK;
const NO_ROW: u32 = 0xffffffffu;

var<workgroup> counts: array<u32, WORKGROUP>;
var<workgroup> weights: array<f32, WORKGROUP>;
var<workgroup> wrong_rows: array<u32, WORKGROUP>;

@compute @workgroup_size(WORKGROUP)
fn tally(@builtin(local_invocation_index) lane: u32) {
    var count = 0u;
    var wrong = NO_ROW;
    // Three levels, so that no chain of additions is long.
    var weight = 0.0;
    for (var outermost = lane; outermost < parameters.slabs; outermost += WORKGROUP * BLOCKS) {
        var blocks = 0.0;
        for (var first = outermost; first < min(outermost + WORKGROUP * BLOCKS, parameters.slabs); first += WORKGROUP * BLOCK) {
            var block = 0.0;
            for (var row = first; row < min(first + WORKGROUP * BLOCK, parameters.slabs); row += WORKGROUP) {
                let label = label_of(row);
                if !label.is_ignored && !label.is_within {
                    wrong = min(wrong, row);
                }
                if !label.is_ignored && label.is_within {
                    count += 1u;
                    block += class_weight(label.low);
                }
            }
            blocks += block;
        }
        weight += blocks;
    }
    counts[lane] = count;
    weights[lane] = weight;
    wrong_rows[lane] = wrong;
    workgroupBarrier();
    for (var distance = WORKGROUP / 2u; distance > 0u; distance >>= 1u) {
        if lane < distance {
            counts[lane] += counts[lane + distance];
            weights[lane] += weights[lane + distance];
            wrong_rows[lane] = min(wrong_rows[lane], wrong_rows[lane + distance]);
        }
        workgroupBarrier();
    }
    if lane == 0u {
        tallied[1] = counts[0];
        tallied[2] = bitcast<u32>(weights[0]);
        tallied[3] = 0u;
        tallied[4] = 0u;
        tallied[5] = 0u;
        if wrong_rows[0] != NO_ROW {
            let label = label_of(wrong_rows[0]);
            tallied[3] = wrong_rows[0] + 1u;
            tallied[4] = label.low;
            tallied[5] = label.high;
        }
    }
}
