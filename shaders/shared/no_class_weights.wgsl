// All classes weigh the same.

fn class_weight(j: u32) -> f32 {
    return 1.0;
}
