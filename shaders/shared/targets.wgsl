// What a loss compares a row's probabilities with: q of every class.
//
// For a label y, with weights w and ε spread over C classes, q = (1 − ε)·w_y at y, and ε/C·w everywhere.
// The two parts are kept apart, since only the first is due where its class is masked.

const NO_LABEL: u32 = 0xffffffffu;

var<private> label: u32;
var<private> label_target: f32;

fn begin_targets() {
    let own = label_of(row_index);
    label = select(NO_LABEL, own.low, own.is_within && !own.is_ignored);
    label_target = 0.0;
    if label != NO_LABEL {
        label_target = parameters.loss.kept * class_weight(label);
    }
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
