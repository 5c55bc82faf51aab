// log(1 + t) for t ≥ −0.5, to a few units in the last place also where t is tiny: the device's own log may be
// off by 2⁻²¹ near 1, and (1 + t) − 1 is what a compiler folds to t.

fn log_one_plus(t: f32) -> f32 {
    // 1 + t = 2^k·(1 + f) with 1 + f in [√½, √2].
    let k = i32((bitcast<u32>(1.0 + t) + (0x3f800000u - 0x3f3504f3u)) >> 23u) - 127;
    let shrink = shifted(1.0, -k);
    let f = t * shrink - (1.0 - shrink);

    // log(1 + f) = f − f²/2 + s·(f²/2 + R(s²)), s = f/(2 + f): the series of artanh.
    let s = f / (2.0 + f);
    let z = s * s;
    let series = z * (0.6666666667 + z * (0.4 + z * (0.2857142857 + z * 0.2222222222)));
    let half_square = 0.5 * f * f;
    let whole = f32(k * 45426) * 0x1p-16f;
    return whole + (f - (half_square - (s * (half_square + series) + f32(k) * 1.42860677e-6)));
}
