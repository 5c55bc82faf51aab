// LANES lanes of one workgroup meet in a tree through workgroup memory, on devices without subgroups.

var<workgroup> meeting: array<SumWords, LANES>;

fn reduce_maximum(lane: u32, key: u32) -> u32 {
    workgroupBarrier();
    meeting[lane][0] = key;
    workgroupBarrier();
    for (var distance = LANES / 2u; distance > 0u; distance >>= 1u) {
        if lane < distance {
            meeting[lane][0] = max(meeting[lane][0], meeting[lane + distance][0]);
        }
        workgroupBarrier();
    }
    return meeting[0][0];
}

fn reduce_sum(lane: u32, sum: Sum) -> Sum {
    workgroupBarrier();
    meeting[lane] = words_of(sum);
    workgroupBarrier();
    for (var distance = LANES / 2u; distance > 0u; distance >>= 1u) {
        if lane < distance {
            let total = add(met(lane), met(lane + distance));
            meeting[lane] = words_of(total);
        }
        workgroupBarrier();
    }
    return met(0u);
}

fn met(lane: u32) -> Sum {
    return sum_of(meeting[lane]);
}
