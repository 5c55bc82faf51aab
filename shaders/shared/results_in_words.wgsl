// The results of a quad, each of which is stored where it belongs.
fn store_results(j: u32, end: u32, bits: vec4<u32>) {
    let quad = quad_of_classes(j);
    let steps = parameters.inner * quad_of_classes(0u);
    let place = result_of_row + j * parameters.inner;
    store_result(place, bits.x);
    if quad.y < end {
        store_result(place + steps.y, bits.y);
    }
    if quad.z < end {
        store_result(place + steps.z, bits.z);
    }
    if quad.w < end {
        store_result(place + steps.w, bits.w);
    }
}
