// The factors of a loss, as they were given.

fn loss_scale() -> f32 {
    return parameters.loss.scale;
}

fn z_scale() -> f32 {
    return parameters.loss.z_scale;
}
