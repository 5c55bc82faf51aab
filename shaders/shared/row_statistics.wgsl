// The statistics of the elements that a group of lanes walks together; every lane gets them.

fn row_statistics(walk: Walk, lane: u32) -> Statistics {
    take(walk);
    let key = reduce_maximum(lane, lane_maximum(walk));
    let scale = scale_of(key);
    return Statistics(key, scale.exponent, reduce_sum(lane, lane_sum(walk, key, scale)));
}
