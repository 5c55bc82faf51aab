// The offset, in a mask, of an index whose digits have these lengths and strides, two in each vector. Written
// out: loops within loops would use up the turns that a software driver grants.
fn place_of(index: u32, digits: u32, low: vec4<u32>, high: vec4<u32>) -> u32 {
    if digits == 0u {
        return 0u;
    }
    // Remainders by products: software drivers divide lane by lane.
    let second = index / low.x;
    var place = (index - second * low.x) * low.y;
    if digits > 1u {
        let third = second / low.z;
        let fourth = third / high.x;
        place += (second - third * low.z) * low.w + (third - fourth * high.x) * high.y + (fourth % high.z) * high.w;
    }
    return place;
}
