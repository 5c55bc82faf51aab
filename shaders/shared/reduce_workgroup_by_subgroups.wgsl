// LANES lanes of one workgroup meet: first SHUFFLED neighbours by shuffles, then their results through
// workgroup memory. SHUFFLED is the smallest subgroup the device has, whatever it runs this with.

override SHUFFLED: u32 = 4u;
// LANES / SHUFFLED. An array length that is computed here would be an override without a name, on which
// naga gives up.
override MEETING: u32 = 16u;

var<workgroup> meeting: array<SumWords, MEETING>;

fn reduce_maximum(lane: u32, key: u32) -> u32 {
    var highest = key;
    for (var distance = 1u; distance < SHUFFLED; distance <<= 1u) {
        highest = max(highest, subgroupShuffleXor(highest, distance));
    }
    workgroupBarrier();
    if lane % SHUFFLED == 0u {
        meeting[lane / SHUFFLED][0] = highest;
    }
    workgroupBarrier();
    highest = meeting[0][0];
    for (var group = 1u; group < MEETING; group += 1u) {
        highest = max(highest, meeting[group][0]);
    }
    return highest;
}

fn reduce_sum(lane: u32, sum: Sum) -> Sum {
    var total = sum;
    for (var distance = 1u; distance < SHUFFLED; distance <<= 1u) {
        total = add(total, shuffled(total, distance));
    }
    workgroupBarrier();
    if lane % SHUFFLED == 0u {
        meeting[lane / SHUFFLED] = words_of(total);
    }
    workgroupBarrier();
    total = met(0u);
    for (var group = 1u; group < MEETING; group += 1u) {
        total = add(total, met(group));
    }
    return total;
}

fn met(group: u32) -> Sum {
    return sum_of(meeting[group]);
}
