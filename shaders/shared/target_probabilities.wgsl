// What a loss compares a row's probabilities with: q = w·((1 − ε)·t + ε/C) of every class, for target
// probabilities t, weights w and ε spread over C classes.

fn begin_targets() {}

fn is_counted() -> bool {
    return true;
}

fn is_label(j: u32) -> bool {
    return false;
}

fn label_part() -> f32 {
    return 0.0;
}

fn spread_part(j: u32, other: u32) -> f32 {
    return class_weight(j) * (parameters.loss.kept * bitcast<f32>(other) + parameters.loss.spread);
}
