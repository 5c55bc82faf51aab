// The offset, in a mask, of an index whose digits have these lengths and strides, two in each vector. Written
// out: loops within loops would use up the turns that a software driver grants.
fn place_of(index: u32, digits: u32, low: vec4<u32>, high: vec4<u32>) -> u32 {
    if digits == 0u {
        return 0u;
    }
    var place = (index % low.x) * low.y;
    if digits > 1u {
        let second = index / low.x;
        let third = second / low.z;
        place += (second % low.z) * low.w + (third % high.x) * high.y + (third / high.x % high.z) * high.w;
    }
    return place;
}
