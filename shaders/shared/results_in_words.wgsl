// The results of a quad, each of which is stored where it belongs.
fn store_results(j: u32, end: u32, bits: vec4<u32>) {
    let quad = quad_of_classes(j);
    let places = result_of_row + parameters.inner * quad;
    store_result(places.x, bits.x);
    if quad.y < end {
        store_result(places.y, bits.y);
    }
    if quad.z < end {
        store_result(places.z, bits.z);
    }
    if quad.w < end {
        store_result(places.w, bits.w);
    }
}
