// A row's or a column's statistics, of the partial ones that lie `apart` from each other, in an order that depends on
// their number alone.

const PARTIALS_IN_A_GROUP: u32 = 32u;

fn joined_partials(lane: u32, first: u32, apart: u32, count: u32) -> Statistics {
    var highest = 0u;
    for (var part = lane; part < count; part += LANES) {
        highest = max(highest, load_partial(first + part * apart).key);
    }
    let key = reduce_maximum(lane, highest);
    let scale = scale_of(key);

    // In groups, so that no chain of additions is long.
    var sum = no_sum();
    for (var start = lane; start < count; start += PARTIALS_IN_A_GROUP * LANES) {
        var group = no_sum();
        let end = min(start + PARTIALS_IN_A_GROUP * LANES, count);
        for (var part = start; part < end; part += LANES) {
            group = add(group, rescaled(load_partial(first + part * apart), key, scale));
        }
        sum = add(sum, group);
    }
    return Statistics(key, scale.exponent, reduce_sum(lane, sum));
}
