// A result in a buffer of its own, four neighbours at a time.

@group(0) @binding(2) var<storage, read_write> result: array<ResultQuad>;

fn store_quad(quad: u32, value: ResultQuad) {
    result[quad] = value;
}
