// A block of a Jacobian from one element to the next, whichever rows of it they are of: any lane may need any class.
// So workgroup memory keeps what the classes come to, where a row has no more than KEPT of them.

override KEPT: u32 = 1024u;

// The probability of each class, or what stands for one that is masked. In a row without a finite maximum nothing
// follows from probabilities, and not all of them are numbers.
var<workgroup> kept: array<u32, KEPT>;

fn keep_classes(lane: u32, row: Finish) {
    for (var j = lane; j < parameters.classes; j += LANES) {
        let bits = logit(j);
        let p = select(bitcast<u32>(probability(bits, row)), 0u, row.is_special);
        kept[j] = select(p, NO_LOGIT, is_masked(bits));
    }
}

// Row and column of the block's element `e`.
fn position(e: u32) -> vec2<u32> {
    return vec2<u32>(e / parameters.classes, e % parameters.classes);
}

// The position so many elements further on, without a division for each.
fn moved(at: vec2<u32>, by: vec2<u32>) -> vec2<u32> {
    let to = at + by;
    let carries = to.y >= parameters.classes;
    return vec2<u32>(to.x + select(0u, 1u, carries), to.y - select(0u, parameters.classes, carries));
}

fn derivative_at(at: vec2<u32>, first: u32, row: Finish) -> u32 {
    let word = kept[at.y];
    return derivative(at.x, first + at.x, at.y, word, bitcast<f32>(word), row);
}
