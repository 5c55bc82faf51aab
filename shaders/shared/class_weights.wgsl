// A weight in f32 for each class; beyond the last one, that of the last.

@group(0) @binding(6) var<storage, read> class_weights: array<u32>;

fn class_weight(j: u32) -> f32 {
    return bitcast<f32>(class_weights[min(j, parameters.classes - 1u)]);
}
