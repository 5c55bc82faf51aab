// The elements that one lane is charged with: `count` of them, `step` apart.

struct Walk {
    logits: u32,
    result: u32,
    step: u32,
    count: u32,
}

// Lane l of `lanes` takes the classes l, l + lanes, l + 2·lanes, …: by the class alone, never by where
// the row stands.
fn walk_of_lane(lane: u32, lanes: u32, logits: u32, result: u32, classes: u32) -> Walk {
    let count = select(0u, (classes - lane + lanes - 1u) / lanes, lane < classes);
    return Walk(logits + lane, result + lane, lanes, count);
}
