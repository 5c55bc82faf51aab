// The limit that kernels are held against which write much more than they read: every vector of four words is written
// once, and nothing is read or computed.

@group(0) @binding(2) var<storage, read_write> destination: array<vec4<u32>>;

override WORKGROUP: u32 = 256u;

@compute @workgroup_size(WORKGROUP)
fn fill(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let length = arrayLength(&destination);
    let group = workgroup.y * grid.x + workgroup.x;
    let first = group * 4u * WORKGROUP + lane;
    let words = vec4(group);
    if first + 3u * WORKGROUP < length {
        destination[first] = words;
        destination[first + WORKGROUP] = words;
        destination[first + 2u * WORKGROUP] = words;
        destination[first + 3u * WORKGROUP] = words;
        return;
    }
    for (var place = first; place < length; place += WORKGROUP) {
        destination[place] = words;
    }
}
