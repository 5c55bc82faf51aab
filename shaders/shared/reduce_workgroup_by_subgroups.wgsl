// LANES lanes of one workgroup meet: first SHUFFLED neighbours by shuffles, then their results through
// workgroup memory. SHUFFLED is the smallest subgroup the device has, whatever it runs this with.

override SHUFFLED: u32 = 4u;
// LANES / SHUFFLED. An array length that is computed here would be an override without a name, on which
// naga gives up.
override MEETING: u32 = 16u;

var<workgroup> meeting: array<vec2<u32>, MEETING>;

fn reduce_maximum(lane: u32, key: u32) -> u32 {
    var highest = key;
    for (var distance = 1u; distance < SHUFFLED; distance <<= 1u) {
        highest = max(highest, subgroupShuffleXor(highest, distance));
    }
    workgroupBarrier();
    if lane % SHUFFLED == 0u {
        meeting[lane / SHUFFLED].x = highest;
    }
    workgroupBarrier();
    highest = meeting[0].x;
    for (var group = 1u; group < MEETING; group += 1u) {
        highest = max(highest, meeting[group].x);
    }
    return highest;
}

fn reduce_sum(lane: u32, sum: Sum) -> Sum {
    var total = sum;
    for (var distance = 1u; distance < SHUFFLED; distance <<= 1u) {
        total = add(total, Sum(
            subgroupShuffleXor(total.maxima, distance), subgroupShuffleXor(total.others, distance)));
    }
    workgroupBarrier();
    if lane % SHUFFLED == 0u {
        meeting[lane / SHUFFLED] = vec2<u32>(total.maxima, bitcast<u32>(total.others));
    }
    workgroupBarrier();
    total = met(0u);
    for (var group = 1u; group < MEETING; group += 1u) {
        total = add(total, met(group));
    }
    return total;
}

fn met(group: u32) -> Sum {
    return Sum(meeting[group].x, bitcast<f32>(meeting[group].y));
}
