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
    // Where class 0 of this window's first row lies, or would lie if the window had it (counted modulo
    // 2³²), and how far slabs are apart.
    logits_start: u32,
    logits_pitch: u32,
    result_start: u32,
    result_pitch: u32,
    operand_start: u32,
    operand_pitch: u32,
    // Classes in a chunk; chunks in a row; the first one in this window and how many there are.
    chunk: u32,
    chunks: u32,
    first_chunk: u32,
    chunks_here: u32,
    // The class that this window's first chunk starts with, and where its last one ends at the latest.
    first_class: u32,
    end_class: u32,
    // The slab and the column of this window's first row among all of the operation.
    first_slab: u32,
    first_column: u32,
    // Workgroups per row of the two-dimensional grid.
    grid_width: u32,
    // Lanes of a workgroup that stand side by side in a row of a Jacobian.
    across: u32,
    // The bits written for a row in which nothing takes part.
    fully_masked: u32,
    // Always 0, which the compiler cannot know.
    zero: u32,
    unused: u32,
    unused_as_well: u32,
    adjustment: Adjustment,
    loss: Loss,
}

// What becomes of the logits first (adjusted_logits.wgsl).
struct Adjustment {
    // Which of them there are: bits 1 a temperature for all, 2 one per row, 4 a mask, 8 an additive mask,
    // 16 causality, 32 a window, 64 lengths.
    kinds: u32,
    // 1 / T = inverse_temperature·2^temperature_power.
    inverse_temperature: f32,
    temperature_power: i32,
    // Rows of the axis that causality counts queries on; key j is seen by query i for
    // i + causal_offset − window < j ≤ i + causal_offset.
    queries: u32,
    causal_offset: i32,
    window: u32,
    // Where the operation's first row stands among the rows that masks are broadcast to.
    origin_slab: u32,
    origin_column: u32,
    // Where the masks' first elements lie in their bindings.
    mask_start: u32,
    additive_start: u32,
    // How many digits a place in the masks has for slabs, classes and columns: 8 bits each.
    mask_digits: u32,
    additive_digits: u32,
    // Length and stride of two digits each; up to four for slabs, four for classes, four for columns. One
    // that there is not has length 1.
    mask: array<vec4<u32>, 6>,
    additive: array<vec4<u32>, 6>,
}

// What a loss is made of (targets.wgsl).
struct Loss {
    // What the label's part of a target is multiplied with, 1 − ε; and what is spread over all, ε / C.
    kept: f32,
    spread: f32,
    // Factors of the gradient: of Σ q·nll, and of the squared log-sum-exp, with its 2.
    scale: f32,
    z_scale: f32,
    // Bits 2 a row's loss is its share of the mean or the sum, 4 a mean, 8 no labels, 16 no reduction.
    kinds: u32,
    // The label that is left out, and how labels are stored (labels.wgsl).
    ignored_low: u32,
    ignored_high: u32,
    label_kind: u32,
    // Where each row's values start in the binding of rows' values, and 0xffffffff for what is not wanted.
    losses_at: u32,
    log_sum_exp_at: u32,
    label_log_probability_at: u32,
    entropy_at: u32,
    argmax_at: u32,
    unused: u32,
    unused_as_well: u32,
    unused_too: u32,
}

@group(0) @binding(0) var<uniform> parameters: Parameters;

override WORKGROUP: u32 = 64u;
// Lanes that share a row.
override LANES: u32 = 64u;

fn group_index(workgroup: vec3<u32>) -> u32 {
    return workgroup.y * parameters.grid_width + workgroup.x;
}

// Classes in this window's chunk `chunk`: the last one may be short.
fn chunk_length(chunk: u32) -> u32 {
    return min(parameters.chunk, parameters.end_class - chunk_start(chunk));
}

// The first class of this window's chunk `chunk`.
fn chunk_start(chunk: u32) -> u32 {
    return parameters.first_class + chunk * parameters.chunk;
}
