// Statistics on their way from one dispatch to the next.

@group(0) @binding(3) var<storage, read_write> partials: array<u32>;

const PARTIAL_WORDS: u32 = 2u + SUM_WORDS;

fn store_partial(place: u32, part: Statistics) {
    let first = place * PARTIAL_WORDS;
    partials[first] = part.key;
    partials[first + 1u] = bitcast<u32>(part.exponent);
    var words = words_of(part.sum);
    for (var word = 0u; word < SUM_WORDS; word += 1u) {
        partials[first + 2u + word] = words[word];
    }
}

fn load_partial(place: u32) -> Statistics {
    let first = place * PARTIAL_WORDS;
    var words: SumWords;
    for (var word = 0u; word < SUM_WORDS; word += 1u) {
        words[word] = partials[first + 2u + word];
    }
    return Statistics(partials[first], bitcast<i32>(partials[first + 1u]), sum_of(words));
}
