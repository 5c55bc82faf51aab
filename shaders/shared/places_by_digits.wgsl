// Classes of several axes, along some of which a mask is broadcast.
fn places_of(classes: vec4<u32>, digits: u32, low: vec4<u32>, high: vec4<u32>) -> vec4<u32> {
    if digits <= 1u {
        return classes * low.y;
    }
    return vec4<u32>(
        place_of(classes.x, digits, low, high), place_of(classes.y, digits, low, high),
        place_of(classes.z, digits, low, high), place_of(classes.w, digits, low, high));
}
