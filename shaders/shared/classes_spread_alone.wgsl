// One lane has a short column to itself, and adds it up as the lanes of a tile would that have a quad each: its turns are
// what they take.

fn quads_of_column() -> u32 {
    return (parameters.classes + 3u) / 4u;
}

fn quad_of_classes(j: u32) -> vec4<u32> {
    return j + quads_of_column() * vec4<u32>(0u, 1u, 2u, 3u);
}

// All classes, of which the first is 0.
fn walk_alone(first: u32, classes: u32) -> Walk {
    return Walk(first, 1u, quads_of_column(), first + classes);
}
