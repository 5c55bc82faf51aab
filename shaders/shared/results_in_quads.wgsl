// The results of a quad, which are stored as a whole.
fn store_results(j: u32, end: u32, bits: vec4<u32>) {
    store_result_quad((result_of_row + j) / 4u, bits);
}
