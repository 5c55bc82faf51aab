// A weight of 0 removes its class.

fn counts(classes: vec4<u32>) -> vec4<bool> {
    let weights = vec4<u32>(
        operand(classes.x), operand(classes.y), operand(classes.z), operand(classes.w));
    return magnitudes(weights) != vec4<u32>(0u);
}
