// What a loss compares a row's probabilities with: q = w·((1 − ε)·t + ε/C) of every class, for target
// probabilities t, weights w and ε spread over C classes.

// f32.
@group(0) @binding(6) var<storage, read> class_weights: array<u32>;

const CLASS_WEIGHTS: u32 = 1u;

fn begin_targets() {}

fn class_weight(j: u32) -> f32 {
    if (parameters.loss.kinds & CLASS_WEIGHTS) == 0u {
        return 1.0;
    }
    return bitcast<f32>(class_weights[j]);
}

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
