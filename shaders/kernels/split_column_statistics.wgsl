// The first half of a column too long for one lane, or wider than a binding: each lane leaves the
// statistics of one chunk of one column.

@compute @workgroup_size(WORKGROUP)
fn split_column_statistics(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let index = group_index(workgroup) * WORKGROUP + invocation;
    let column = index % parameters.columns;
    let chunk = (index / parameters.columns) % parameters.chunks_here;
    let slab = index / parameters.columns / parameters.chunks_here;
    if slab >= parameters.slabs {
        return;
    }
    begin_row(slab, column);
    let part = column_statistics(column_chunk(chunk));
    let place = slab * parameters.chunks + parameters.first_chunk + chunk;
    store_partial(place * parameters.columns + column, part);
}
