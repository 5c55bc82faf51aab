// On devices whose compiler would rearrange the exponential: a zero it cannot know of is in the way.

fn hide(value: f32) -> f32 {
    return bitcast<f32>(bitcast<u32>(value) ^ parameters.zero);
}
