//! The textbook, in f64, along any axes; and what counts as equal to it.

/// What an operation gives, C-ordered, along `axes` counted from the front.
pub fn compute(op: &str, values: &[f64], shape: &[usize], axes: &[usize]) -> Vec<f64> {
    let row_of = |place: usize| -> usize {
        let mut row = 0;
        for (axis, &length) in shape.iter().enumerate() {
            if !axes.contains(&axis) {
                let stride: usize = shape[axis + 1..].iter().product();
                row = row * length + place / stride % length;
            }
        }
        row
    };
    let rows: usize = (0..shape.len()).filter(|axis| !axes.contains(axis)).map(|axis| shape[axis]).product();
    let mut most = vec![f64::NEG_INFINITY; rows];
    for (place, &value) in values.iter().enumerate() {
        most[row_of(place)] = most[row_of(place)].max(value);
    }
    // With what each addition loses beside it, since a sum of thousands is judged to a few units.
    let mut sums = vec![0.0; rows];
    let mut lost = vec![0.0; rows];
    for (place, &value) in values.iter().enumerate() {
        let (row, term) = (row_of(place), (value - most[row_of(place)]).exp());
        let sum = sums[row] + term;
        lost[row] += if sums[row] >= term { (sums[row] - sum) + term } else { (term - sum) + sums[row] };
        sums[row] = sum;
    }
    for (sum, lost) in sums.iter_mut().zip(lost) {
        *sum += lost;
    }
    let each = |of: &dyn Fn(f64, f64, f64) -> f64| -> Vec<f64> {
        let rows = (0..values.len()).map(row_of);
        values.iter().zip(rows).map(|(&value, row)| of(value, most[row], sums[row])).collect()
    };
    match op {
        "softmax" => each(&|value, most, sum| (value - most).exp() / sum),
        "log-softmax" => each(&|value, most, sum| value - most - sum.ln()),
        "logsumexp" => most.iter().zip(&sums).map(|(most, sum)| most + sum.ln()).collect(),
        _ => panic!("{op}"),
    }
}

/// The probabilities of a row in which only some classes take part: 0 for the others.
pub fn softmax(row: &[f64], part: &[bool]) -> Vec<f64> {
    let taken = || row.iter().zip(part).filter(|(_, part)| **part).map(|(x, _)| *x);
    let most = taken().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = taken().map(|x| (x - most).exp()).sum();
    row.iter().zip(part).map(|(x, &part)| if part { (x - most).exp() / sum } else { 0.0 }).collect()
}

/// log Σ exp over the classes that take part.
pub fn log_sum_exp(row: &[f64], part: &[bool]) -> f64 {
    let taken = || row.iter().zip(part).filter(|(_, part)| **part).map(|(x, _)| *x);
    let most = taken().fold(f64::NEG_INFINITY, f64::max);
    if most == f64::NEG_INFINITY { most } else { most + taken().map(|x| (x - most).exp()).sum::<f64>().ln() }
}

/// Numbers that look like logits, the same every time.
pub fn logits(count: usize) -> Vec<f64> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let next = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f64 / f64::from(1 << 24) * 16.0 - 8.0
    };
    (0..count).map(next).collect()
}

/// Units of 2⁻²⁴, 2⁻⁵³, 2⁻¹¹ or 2⁻⁸ that a type's results may be off by, relative or absolute below 1.
#[track_caller]
pub fn assert_close(actual: &[f64], expected: &[f64], descr: &str) {
    let tolerance = match descr {
        "<f2" | "F16" => 0.51 * 2f64.powi(-10),
        "BF16" => 0.51 * 2f64.powi(-7),
        "<f4" | "F32" => 32.0 * 2f64.powi(-24),
        "<f8" | "F64" => 64.0 * 2f64.powi(-53),
        _ => panic!("{descr}"),
    };
    assert_eq!(actual.len(), expected.len());
    for (place, (actual, expected)) in actual.iter().zip(expected).enumerate() {
        // Logarithms near 0 are differences of larger numbers, in this reference too.
        let scale = if *expected > 0.0 && *expected < 1.0 { *expected } else { expected.abs().max(1.0) };
        // Devices may flush what is smaller; f16 is rounded to its subnormals.
        let subnormal = match descr {
            "<f2" | "F16" => 2f64.powi(-25),
            "<f4" | "F32" | "BF16" => 2f64.powi(-126),
            _ => f64::MIN_POSITIVE,
        };
        assert!(
            (actual - expected).abs() <= tolerance * scale + subnormal,
            "element {place}: {actual} where {expected} was expected"
        );
    }
}

/// For sums in which terms of either sign cancel: no more than `tolerance` apart, whatever the type.
#[track_caller]
pub fn assert_within(actual: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(actual.len(), expected.len());
    for (place, (actual, expected)) in actual.iter().zip(expected).enumerate() {
        assert!(
            (actual - expected).abs() <= tolerance,
            "element {place}: {actual} where {expected} was expected"
        );
    }
}

/// The comparison can fail.
#[test]
fn wrong_answers_are_noticed() {
    for (descr, off) in [("<f2", 2e-3), ("<f4", 4e-6), ("<f8", 2e-14)] {
        assert_close(&[0.25], &[0.25], descr);
        assert!(std::panic::catch_unwind(|| assert_close(&[0.25 * (1.0 + off)], &[0.25], descr)).is_err());
        assert!(std::panic::catch_unwind(|| assert_close(&[f64::NAN], &[0.25], descr)).is_err());
        assert!(std::panic::catch_unwind(|| assert_within(&[0.25 + off], &[0.25], off / 2.0)).is_err());
        assert!(std::panic::catch_unwind(|| assert_within(&[f64::NAN], &[0.25], off)).is_err());
    }
}
