// What is held for every row: its temperature and its length.

@group(0) @binding(7) var<storage, read> per_row: array<vec2<u32>>;

fn temperature_of_row() -> u32 {
    return per_row[row_index].x;
}

fn length_of_row() -> u32 {
    return per_row[row_index].y;
}
