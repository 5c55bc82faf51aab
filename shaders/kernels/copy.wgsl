// The limit that kernels with as much to write as to read are held against: every vector of four words is read once
// and written once, and nothing is computed.

@group(0) @binding(1) var<storage, read> source: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read_write> destination: array<vec4<u32>>;

override WORKGROUP: u32 = 256u;

@compute @workgroup_size(WORKGROUP)
fn copy(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let length = arrayLength(&destination);
    let first = (workgroup.y * grid.x + workgroup.x) * 4u * WORKGROUP + lane;
    if first + 3u * WORKGROUP < length {
        // Four loads under way before the first store.
        let a = source[first];
        let b = source[first + WORKGROUP];
        let c = source[first + 2u * WORKGROUP];
        let d = source[first + 3u * WORKGROUP];
        destination[first] = a;
        destination[first + WORKGROUP] = b;
        destination[first + 2u * WORKGROUP] = c;
        destination[first + 3u * WORKGROUP] = d;
        return;
    }
    for (var place = first; place < length; place += WORKGROUP) {
        destination[place] = source[place];
    }
}
