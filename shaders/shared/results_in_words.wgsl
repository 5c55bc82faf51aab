// The results of a quad, each of which is stored where it belongs.
fn store_results(j: u32, end: u32, bits: vec4<u32>) {
    let place = result_of_row + j * parameters.inner;
    store_result(place, bits.x);
    if j + 1u < end {
        store_result(place + parameters.inner, bits.y);
    }
    if j + 2u < end {
        store_result(place + 2u * parameters.inner, bits.z);
    }
    if j + 3u < end {
        store_result(place + 3u * parameters.inner, bits.w);
    }
}
