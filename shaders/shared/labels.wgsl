// The classes that rows belong to.

// One number for every row.
@group(0) @binding(4) var<storage, read> labels: array<u32>;

// How labels are stored: bits of `label_kind`.
const PAIRS_OF_WORDS: u32 = 1u;
const BYTES: u32 = 2u;
const UNSIGNED: u32 = 8u;
const NONE_IGNORED: u32 = 4u;

struct Label {
    // The lower and the upper word.
    low: u32,
    high: u32,
    is_ignored: bool,
    // Whether it names a class.
    is_within: bool,
}

fn label_of(row: u32) -> Label {
    let kind = parameters.loss.label_kind;
    var low = 0u;
    var high = 0u;
    if (kind & PAIRS_OF_WORDS) != 0u {
        low = labels[2u * row];
        high = labels[2u * row + 1u];
    } else if (kind & BYTES) != 0u {
        low = (labels[row >> 2u] >> (8u * (row & 3u))) & 0xffu;
    } else {
        low = labels[row];
        high = select(0u, 0xffffffffu, (kind & UNSIGNED) == 0u && (low & 0x80000000u) != 0u);
    }
    let is_ignored = (kind & NONE_IGNORED) == 0u
        && low == parameters.loss.ignored_low && high == parameters.loss.ignored_high;
    return Label(low, high, is_ignored, high == 0u && low < parameters.classes);
}
