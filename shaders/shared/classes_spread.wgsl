// Lanes take turns at classes, so that what LANES lanes load of a column at once are neighbours: the four classes of a
// quad lie LANES apart.

fn quad_of_classes(j: u32) -> vec4<u32> {
    return j + LANES * vec4<u32>(0u, 1u, 2u, 3u);
}

// Of the classes from `first` on, lane l of `lanes`, which are LANES, takes l, l + lanes, l + 2·lanes, …: by the class
// alone, never by where the column stands.
fn walk_of_lane(lane: u32, lanes: u32, first: u32, classes: u32) -> Walk {
    let turn = 4u * lanes;
    let count = select(0u, (classes - lane + turn - 1u) / turn, lane < classes);
    return Walk(first + lane, turn, count, first + classes);
}
