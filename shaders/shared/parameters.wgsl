// What one dispatch is told, and where its rows lie. Indices count elements from the start of the
// binding, which is one window of the caller's buffer: 32 bits are always enough.

struct Parameters {
    // Slabs of classes × inner in this window.
    slabs: u32,
    // Logits in a row.
    classes: u32,
    // Elements from one class of a row to the next.
    inner: u32,
    // Rows of a slab in this window.
    columns: u32,
    // Where this window's first element lies, and how far slabs are apart.
    logits_start: u32,
    logits_pitch: u32,
    result_start: u32,
    result_pitch: u32,
    // Classes in a chunk; chunks in a row; the first one in this window and how many there are.
    chunk: u32,
    chunks: u32,
    first_chunk: u32,
    chunks_here: u32,
    // Workgroups per row of the two-dimensional grid.
    grid_width: u32,
    // The bits written for a row in which nothing takes part.
    fully_masked: u32,
    // Always 0, which the compiler cannot know.
    zero: u32,
    // Lanes of a workgroup that stand side by side in a row of a Jacobian.
    across: u32,
    // The class that this window's first chunk starts with, and where its last one ends at the latest.
    first_class: u32,
    end_class: u32,
    unused: u32,
    unused_as_well: u32,
}

@group(0) @binding(0) var<uniform> parameters: Parameters;

override WORKGROUP: u32 = 64u;
// Lanes that share a row.
override LANES: u32 = 64u;

fn group_index(workgroup: vec3<u32>) -> u32 {
    return workgroup.y * parameters.grid_width + workgroup.x;
}

fn logits_at(slab: u32) -> u32 {
    return parameters.logits_start + slab * parameters.logits_pitch;
}

fn result_at(slab: u32) -> u32 {
    return parameters.result_start + slab * parameters.result_pitch;
}

// Classes in this window's chunk `chunk`: the last one may be short.
fn chunk_length(chunk: u32) -> u32 {
    return min(parameters.chunk, parameters.end_class - parameters.first_class - chunk * parameters.chunk);
}
