// The factors of a mean loss, divided by what the tally of the labels has come to.

@group(0) @binding(10) var<storage, read> tally: array<u32>;

fn loss_scale() -> f32 {
    return parameters.loss.scale / bitcast<f32>(tally[2u]);
}

fn z_scale() -> f32 {
    return parameters.loss.z_scale / f32(tally[1u]);
}
