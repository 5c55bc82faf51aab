// What a loss compares a row's probabilities with: q of every class.
//
// For a label y, with weights w and ε spread over C classes, q = (1 − ε)·w_y at y, and ε/C·w everywhere.
// The two parts are kept apart, since only the first is due where its class is masked.

// One number for every row.
@group(0) @binding(4) var<storage, read> labels: array<u32>;
// f32.
@group(0) @binding(6) var<storage, read> class_weights: array<u32>;

const CLASS_WEIGHTS: u32 = 1u;
const NO_LABEL: u32 = 0xffffffffu;

var<private> label: u32;
var<private> label_target: f32;

fn begin_targets() {
    var low = 0u;
    var high = 0u;
    switch parameters.loss.label_kind & 3u {
        case 1u: {
            low = labels[2u * row_index];
            high = labels[2u * row_index + 1u];
        }
        case 2u: {
            low = (labels[row_index >> 2u] >> (8u * (row_index & 3u))) & 0xffu;
        }
        default: {
            low = labels[row_index];
            high = select(0u, 0xffffffffu, (low & 0x80000000u) != 0u);
        }
    }
    let has_ignored = (parameters.loss.label_kind & 4u) == 0u;
    let is_ignored = has_ignored && low == parameters.loss.ignored_low && high == parameters.loss.ignored_high;
    let within = high == 0u && low < parameters.classes;
    label = select(NO_LABEL, low, within && !is_ignored);
    label_target = select(0.0, parameters.loss.kept * class_weight(select(0u, low, within)), label != NO_LABEL);
}

fn class_weight(j: u32) -> f32 {
    if (parameters.loss.kinds & CLASS_WEIGHTS) == 0u {
        return 1.0;
    }
    return bitcast<f32>(class_weights[j]);
}

fn is_counted() -> bool {
    return label != NO_LABEL;
}

fn is_label(j: u32) -> bool {
    return j == label;
}

fn label_part() -> f32 {
    return label_target;
}

fn spread_part(j: u32, other: u32) -> f32 {
    return parameters.loss.spread * class_weight(j);
}
