// The limit that kernels are held against which read much more than they write: every vector of four words is read
// once, and each lane leaves one word for the eight vectors it has read, so that no compiler can leave them out.

@group(0) @binding(1) var<storage, read> source: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read_write> destination: array<u32>;

override WORKGROUP: u32 = 256u;

@compute @workgroup_size(WORKGROUP)
fn load(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let length = arrayLength(&source);
    let group = workgroup.y * grid.x + workgroup.x;
    let first = group * 8u * WORKGROUP + lane;
    var words = vec4(0u);
    if first + 7u * WORKGROUP < length {
        let a = source[first];
        let b = source[first + WORKGROUP];
        let c = source[first + 2u * WORKGROUP];
        let d = source[first + 3u * WORKGROUP];
        let e = source[first + 4u * WORKGROUP];
        let f = source[first + 5u * WORKGROUP];
        let g = source[first + 6u * WORKGROUP];
        let h = source[first + 7u * WORKGROUP];
        words = (a ^ b) ^ (c ^ d) ^ ((e ^ f) ^ (g ^ h));
    } else {
        for (var place = first; place < length; place += WORKGROUP) {
            words ^= source[place];
        }
    }
    let mark = group * WORKGROUP + lane;
    if mark < arrayLength(&destination) {
        destination[mark] = words.x ^ words.y ^ words.z ^ words.w;
    }
}
