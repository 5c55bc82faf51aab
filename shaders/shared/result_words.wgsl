// A result in a buffer of its own, word by word.

@group(0) @binding(2) var<storage, read_write> result: array<u32>;

fn store_word(word: u32, value: u32) {
    result[word] = value;
}
