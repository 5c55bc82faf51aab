// The logarithm of a row's weighted sum, and its sign: the bits of −1, 0, 1 or NaN.

struct Finish {
    logarithm: u32,
    sign: u32,
}

// log x of a positive normal number that is not near 1.
fn log_of(x: f32) -> f32 {
    let bits = bitcast<u32>(x);
    let k = i32(bits >> 23u) - 127;
    let fraction = bitcast<f32>((bits & 0x7fffffu) | 0x3f800000u) - 1.0;
    return f32(k * 45426) * 0x1p-16f + (log_one_plus(fraction) + f32(k) * 1.42860677e-6);
}

// log(|total| / highest), highest being what a maximum of weight 1 adds to the total.
fn log_of_terms(sum: Sum, total: f32, highest: f32) -> f32 {
    let relative = abs(total) / highest;
    if relative >= 0.5 && relative < 2.0 {
        // Near 1 the logarithm is that of 1 + what is more than 1, in which nothing has been rounded away.
        let sign = select(1.0, -1.0, total < 0.0);
        return log_one_plus(hide(sign * sum.at_maximum - 1.0) + sign * (sum.others / highest));
    }
    // Where the maxima make up most of it, the rest joins by log(1 + rest): no weight is too large for that.
    let rest = sum.others / (sum.at_maximum * highest);
    if sum.at_maximum != 0.0 && rest > -0.5 {
        return log_of(abs(sum.at_maximum)) + log_one_plus(rest);
    }
    return log_of(relative);
}

fn sign_bits(value: f32) -> u32 {
    let bits = bitcast<u32>(value);
    let signed = (bits & 0x80000000u) | 0x3f800000u;
    let zero_or_signed = select(signed, 0u, (bits & 0x7fffffffu) == 0u);
    return select(zero_or_signed, NAN_BITS, (bits & 0x7fffffffu) > INFINITY_BITS);
}

fn finish(row: Statistics) -> Finish {
    let sum = row.sum;
    if row.key == NAN_KEY {
        return Finish(NAN_BITS, NAN_BITS);
    }
    if row.key == INFINITY_KEY {
        let sign = select(sign_bits(sum.at_maximum), NAN_BITS, abs(sum.at_maximum) != sum.others);
        return Finish(select(INFINITY_BITS, NAN_BITS, sign == NAN_BITS), sign);
    }
    if is_empty_key(row.key) {
        return Finish(NEGATIVE_INFINITY_BITS, 0u);
    }
    let scale = scale_of_part(row);
    let highest = highest_of(row) * WEIGHED_TERMS;
    let total = sum.at_maximum * highest + sum.others;
    let sign = sign_bits(total);
    if sign == NAN_BITS {
        return Finish(NAN_BITS, NAN_BITS);
    }
    if sign == 0u {
        return Finish(NEGATIVE_INFINITY_BITS, 0u);
    }
    let logarithm = log_of_terms(sum, total, highest);
    // A lone class of weight 1 is its own log-sum-exp, to the bit.
    return Finish(select(bitcast<u32>(scale.maximum + logarithm), bits_of_key(row.key), logarithm == 0.0), sign);
}
