// The Jacobian of softmax: p_i·(δ_ij − p_j).

fn on_diagonal(p: f32, complement: f32) -> f32 {
    return p * complement;
}

fn off_diagonal(p_i: f32, p_j: f32) -> f32 {
    return -(p_i * p_j);
}
