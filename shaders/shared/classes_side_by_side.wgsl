// The four classes of a quad are neighbours, and lanes take turns at quads.

// The classes of the quad that starts with class `j`.
fn quad_of_classes(j: u32) -> vec4<u32> {
    return j + vec4<u32>(0u, 1u, 2u, 3u);
}

// Of the quads from class `first` on, lane l of `lanes` takes l, l + lanes, l + 2·lanes, …: by the class alone,
// never by where the row stands.
fn walk_of_lane(lane: u32, lanes: u32, first: u32, classes: u32) -> Walk {
    let quads = (classes + 3u) / 4u;
    let count = select(0u, (quads - lane + lanes - 1u) / lanes, lane < quads);
    return Walk(first + 4u * lane, 4u * lanes, count, first + classes);
}

// All classes from `first` on, by one lane.
fn walk_alone(first: u32, classes: u32) -> Walk {
    return walk_of_lane(0u, 1u, first, classes);
}
