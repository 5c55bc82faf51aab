// The LANES lanes of each column of a tile meet through workgroup memory. They are so few that each goes through what all
// of them have: one barrier, where a tree would have one for each of its levels.

var<workgroup> meeting: array<SumWords, WORKGROUP>;

fn reduce_maximum(lane: u32, key: u32) -> u32 {
    workgroupBarrier();
    meeting[seat][0] = key;
    workgroupBarrier();
    var highest = 0u;
    for (var other = 0u; other < LANES; other += 1u) {
        highest = max(highest, meeting[first_seat + other * columns_of_tile()][0]);
    }
    return highest;
}

fn reduce_sum(lane: u32, sum: Sum) -> Sum {
    workgroupBarrier();
    meeting[seat] = words_of(sum);
    workgroupBarrier();
    var total = no_sum();
    for (var other = 0u; other < LANES; other += 1u) {
        total = add(total, sum_of(meeting[first_seat + other * columns_of_tile()]));
    }
    return total;
}
