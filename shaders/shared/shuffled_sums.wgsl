// Sums as they are known to another lane of the subgroup.

fn shuffled(sum: Sum, distance: u32) -> Sum {
    var words = words_of(sum);
    for (var word = 0u; word < SUM_WORDS; word += 1u) {
        words[word] = subgroupShuffleXor(words[word], distance);
    }
    return sum_of(words);
}
