// What a context asks once of its device: the exponential at given points. The logits hold pairs
// (x, row maximum); the result receives pairs (term, the row's power of two).

@compute @workgroup_size(WORKGROUP)
fn exponential_check(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let point = group_index(workgroup) * WORKGROUP + invocation;
    if point >= parameters.slabs {
        return;
    }
    let scale = scale_of(sort_key(load_logits(2u * point + 1u)));
    store_result(2u * point, bitcast<u32>(term(load_logits(2u * point), scale)));
    store_result(2u * point + 1u, bitcast<u32>(scale.exponent));
}
