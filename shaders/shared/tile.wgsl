// A workgroup's tile: neighbouring columns of one slab, or all columns of as many slabs as there is room for, with LANES
// lanes for each column. Lanes sit in the order of the elements that they take in a turn, the column first, then the
// class, then the slab, so that what neighbours load and store lies side by side.

struct Place {
    slab: u32,
    column: u32,
    // Which of its column's lanes.
    lane: u32,
    // Whether there is such a column: lanes of a tile that reaches beyond the last one keep in step with the others.
    inside: bool,
    // Those of the tile's first lane.
    first_slab: u32,
    first_column: u32,
}

// Where this lane sits, and where the first lane of its column does.
var<private> seat: u32;
var<private> first_seat: u32;

// Columns that stand side by side in a tile.
fn columns_of_tile() -> u32 {
    return min(parameters.columns, WORKGROUP / LANES);
}

fn slabs_of_tile() -> u32 {
    return (WORKGROUP / LANES) / columns_of_tile();
}

// Tiles that a slab is wide.
fn tiles_of_slab() -> u32 {
    let columns = columns_of_tile();
    return (parameters.columns + columns - 1u) / columns;
}

// In tile `tile` of the slabs from `slabs` tiles down on.
fn place_in_tile(tile: u32, slabs: u32, invocation: u32) -> Place {
    let columns = columns_of_tile();
    let slab_here = invocation / (columns * LANES);
    let has_seat = slab_here < slabs_of_tile();
    let lane = (invocation / columns) % LANES;
    seat = invocation;
    first_seat = select(0u, invocation - lane * columns, has_seat);
    let first_slab = slabs * slabs_of_tile();
    let first_column = tile * columns;
    let slab = first_slab + slab_here;
    let column = first_column + invocation % columns;
    let inside = has_seat && slab < parameters.slabs && column < parameters.columns;
    return Place(select(0u, slab, inside), select(0u, column, inside), lane, inside, first_slab, first_column);
}

// What of `classes` a lane has to walk: nothing where it has no column.
fn walk_in_tile(place: Place, first: u32, classes: u32) -> Walk {
    return walk_of_lane(place.lane, LANES, first, select(0u, classes, place.inside));
}
