// LANES lanes of one workgroup meet in a tree through workgroup memory, on devices without subgroups.

var<workgroup> meeting: array<vec2<u32>, LANES>;

fn reduce_maximum(lane: u32, key: u32) -> u32 {
    workgroupBarrier();
    meeting[lane].x = key;
    workgroupBarrier();
    for (var distance = LANES / 2u; distance > 0u; distance >>= 1u) {
        if lane < distance {
            meeting[lane].x = max(meeting[lane].x, meeting[lane + distance].x);
        }
        workgroupBarrier();
    }
    return meeting[0].x;
}

fn reduce_sum(lane: u32, sum: Sum) -> Sum {
    workgroupBarrier();
    meeting[lane] = vec2<u32>(sum.maxima, bitcast<u32>(sum.others));
    workgroupBarrier();
    for (var distance = LANES / 2u; distance > 0u; distance >>= 1u) {
        if lane < distance {
            let total = add(met(lane), met(lane + distance));
            meeting[lane] = vec2<u32>(total.maxima, bitcast<u32>(total.others));
        }
        workgroupBarrier();
    }
    return met(0u);
}

fn met(lane: u32) -> Sum {
    return Sum(meeting[lane].x, bitcast<f32>(meeting[lane].y));
}
