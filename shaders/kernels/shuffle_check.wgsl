// What a context asks once of a device that has subgroups: whether LANES neighbours of a workgroup find each other by
// shuffles. They meet in a butterfly, by shuffles and then through workgroup memory, and leave what each way came to.

@group(0) @binding(1) var<storage, read> source: array<u32>;
@group(0) @binding(2) var<storage, read_write> destination: array<vec4<u32>>;

override WORKGROUP: u32 = 64u;
override LANES: u32 = 4u;

var<workgroup> meeting: array<vec2<u32>, WORKGROUP>;

@compute @workgroup_size(WORKGROUP)
fn shuffle_check(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let place = workgroup.x * WORKGROUP + lane;
    let word = source[place];
    var shuffled = vec2(word, word);
    for (var distance = 1u; distance < LANES; distance <<= 1u) {
        let highest = subgroupShuffleXor(shuffled.x, distance);
        let total = subgroupShuffleXor(shuffled.y, distance);
        shuffled = vec2(max(shuffled.x, highest), shuffled.y + total);
    }
    var met = vec2(word, word);
    for (var distance = 1u; distance < LANES; distance <<= 1u) {
        workgroupBarrier();
        meeting[lane] = met;
        workgroupBarrier();
        let other = meeting[lane ^ distance];
        met = vec2(max(met.x, other.x), met.y + other.y);
    }
    destination[place] = vec4(shuffled, met);
}
