// After a loss: the sum of the rows' shares of it. One workgroup walks them; a row is a slab.

@group(0) @binding(9) var<storage, read_write> row_values: array<u32>;
@group(0) @binding(10) var<storage, read_write> tallied: array<u32>;

const BLOCK: u32 = 16u;
const BLOCKS: u32 = 16u * BLOCK;
const MEAN: u32 = 4u;
const WITHOUT_LABELS: u32 = 8u;
const UNREDUCED: u32 = 16u;
const NAN_BITS: u32 = 0x7fc00000u;

var<workgroup> sums: array<f32, WORKGROUP>;

@compute @workgroup_size(WORKGROUP)
fn total(@builtin(local_invocation_index) lane: u32) {
    // Three levels, so that no chain of additions is long.
    var sum = 0.0;
    for (var outermost = lane; outermost < parameters.slabs; outermost += WORKGROUP * BLOCKS) {
        var blocks = 0.0;
        for (var first = outermost; first < min(outermost + WORKGROUP * BLOCKS, parameters.slabs); first += WORKGROUP * BLOCK) {
            var block = 0.0;
            for (var row = first; row < min(first + WORKGROUP * BLOCK, parameters.slabs); row += WORKGROUP) {
                block += bitcast<f32>(row_values[parameters.loss.losses_at + row]);
            }
            blocks += block;
        }
        sum += blocks;
    }
    sums[lane] = sum;
    workgroupBarrier();
    for (var distance = WORKGROUP / 2u; distance > 0u; distance >>= 1u) {
        if lane < distance {
            sums[lane] += sums[lane + distance];
        }
        workgroupBarrier();
    }
    if lane == 0u {
        let bits = bitcast<u32>(sums[0]);
        let is_nan = (bits & 0x7fffffffu) > 0x7f800000u;
        if (parameters.loss.kinds & WITHOUT_LABELS) != 0u {
            // Every row counts, and there was nothing to tally.
            tallied[1] = parameters.slabs;
            tallied[2] = bitcast<u32>(f32(parameters.slabs));
            tallied[3] = 0u;
        }
        let nothing_counts = (parameters.loss.kinds & MEAN) != 0u && tallied[1] == 0u;
        let loss = select(bits, NAN_BITS, is_nan || nothing_counts);
        tallied[0] = select(loss, 0u, (parameters.loss.kinds & UNREDUCED) != 0u);
    }
}
