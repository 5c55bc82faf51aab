// The columns of a tile, each of which is written by its own lanes.
fn write_tile(walk: Walk, place: Place, first: u32, classes: u32, first_chunk: bool, row: Finish) {
    if place.inside {
        write_lane(walk, place.lane, first, classes, first_chunk, row);
    }
}
