// LANES neighbouring lanes of one subgroup meet in a butterfly: each ends with the same bits, since
// every addition has the same two sides.

fn reduce_maximum(lane: u32, key: u32) -> u32 {
    var highest = key;
    for (var distance = 1u; distance < LANES; distance <<= 1u) {
        highest = max(highest, subgroupShuffleXor(highest, distance));
    }
    return highest;
}

fn reduce_sum(lane: u32, sum: Sum) -> Sum {
    var total = sum;
    for (var distance = 1u; distance < LANES; distance <<= 1u) {
        total = add(total, shuffled(total, distance));
    }
    return total;
}
