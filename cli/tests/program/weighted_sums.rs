//! log Σ b·exp(x) with weights of any sign, and the sums' signs.

use crate::{Folder, computed_on, devices, npy, reference, run};

/// The logarithm of the absolute value of the sum, and its sign.
fn weighted(row: &[f64], b: impl Fn(usize) -> f64) -> (f64, f64) {
    let most = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = row.iter().enumerate().map(|(class, x)| b(class) * (x - most).exp()).sum();
    (most + sum.abs().ln(), if sum == 0.0 { 0.0 } else { sum.signum() })
}

#[test]
fn weights_of_any_shape_and_sign() {
    let folder = Folder::new();
    let logits = reference::logits(60);
    let input = folder.file("x.npy", &npy::f64_file(&[3, 4, 5], &logits));
    for shape in [&[3, 4, 5][..], &[5], &[4, 1], &[3, 1, 1], &[]] {
        let b: Vec<f64> =
            (0..shape.iter().product()).map(|place: usize| (place * 7 % 11) as f64 - 4.5).collect();
        let at = |row: usize, class: usize| {
            let position = [row / 4, row % 4, class];
            let missing = 3 - shape.len();
            let step =
                |place: usize, axis: usize| place * shape[axis] + position[missing + axis] % shape[axis];
            b[(0..shape.len()).fold(0, step)]
        };
        let weights = folder.file("b.npy", &npy::f64_file(shape, &b));
        let expected: Vec<(f64, f64)> = logits
            .chunks(5)
            .enumerate()
            .map(|(row, logits)| weighted(logits, |class| at(row, class)))
            .collect();

        let sign = folder.name("sign.npy");
        let arguments = [&input, "--op", "logsumexp", "--weights", &weights, "--keepdims"];
        for &device in devices() {
            let signed = computed_on(device, &[&arguments[..], &["--sign", &sign]].concat());
            let signs = npy::parse(&std::fs::read(&sign).unwrap());
            let unsigned = computed_on(device, &arguments);
            let (descr, tolerance) = if device == "gpu" { ("<f4", 1e-5) } else { ("<f8", 1e-13) };
            for array in [&signed, &signs, &unsigned] {
                assert_eq!((array.descr.as_str(), &array.shape[..]), (descr, &[3, 4, 1][..]));
            }
            for (row, &(logarithm, sign)) in expected.iter().enumerate() {
                assert!((signed.values[row] - logarithm).abs() < tolerance, "row {row} on {device}");
                assert_eq!(signs.values[row], sign);
                match sign < 0.0 {
                    true => assert!(unsigned.values[row].is_nan()),
                    false => assert_eq!(unsigned.values[row], signed.values[row]),
                }
            }
        }
    }
}

#[test]
fn a_weight_of_nothing_removes_what_it_is_for() {
    let folder = Folder::new();
    let values = [f64::NAN, 0.0, f64::INFINITY, 0.0];
    let input = folder.file("x.npy", &npy::f64_file(&[4], &values));
    let both = folder.file("both.npy", &npy::file("|i1", false, &[4], &[0, 1, 0, 1]));
    // SciPy's example of a sum that vanishes.
    let vanishing = folder.file("vanishing.npy", &npy::file("|i1", false, &[4], &[0, 1, 0, 255]));
    let sign = folder.name("sign.npy");
    for &device in devices() {
        let result = computed_on(device, &[&input, "--op", "logsumexp", "--weights", &both]);
        reference::assert_close(&result.values, &[2f64.ln()], &result.descr);
        let arguments = [&input, "--op", "logsumexp", "--weights", &vanishing, "--sign", &sign];
        let result = computed_on(device, &arguments);
        assert_eq!((&result.values[..], result.shape.len()), (&[f64::NEG_INFINITY][..], 0));
        assert_eq!(npy::parse(&std::fs::read(&sign).unwrap()).values, [0.0]);
    }
}

#[test]
fn along_axes_that_lie_apart() {
    let folder = Folder::new();
    let logits = reference::logits(24);
    let input = folder.file("x.npy", &npy::f64_file(&[2, 3, 4], &logits));
    let b: Vec<f64> = (0..24).map(|place| if place % 5 == 0 { -1.5 } else { 1.0 }).collect();
    let weights = folder.file("b.npy", &npy::f64_file(&[2, 3, 4], &b));
    let sign = folder.name("sign.npy");
    let arguments = [&input, "--op", "logsumexp", "--weights", &weights, "--sign", &sign, "--axis", "0,2"];
    for &device in devices() {
        let result = computed_on(device, &arguments);
        let signs = npy::parse(&std::fs::read(&sign).unwrap());
        assert_eq!((&result.shape[..], &signs.shape[..]), (&[3][..], &[3][..]));
        for row in 0..3 {
            let places: Vec<usize> = (0..24).filter(|place| place / 4 % 3 == row).collect();
            let of_row: Vec<f64> = places.iter().map(|&place| logits[place]).collect();
            let (logarithm, sign) = weighted(&of_row, |class| b[places[class]]);
            let tolerance = if device == "gpu" { 1e-5 } else { 1e-13 };
            assert!((result.values[row] - logarithm).abs() < tolerance, "row {row} on {device}");
            assert_eq!(signs.values[row], sign);
        }
    }
}

#[test]
fn weights_that_do_not_fit() {
    let folder = Folder::new();
    let input = folder.file("x.npy", &npy::f64_file(&[2, 3], &[0.0; 6]));
    let weights = folder.file("b.npy", &npy::f64_file(&[2], &[1.0; 2]));
    let error = run(&["run", &input, "--op", "logsumexp", "--weights", &weights]).failed(3);
    assert!(error.contains("--weights") && error.contains("cannot be broadcast to 2 × 3"), "{error}");
    for arguments in [
        &["--op", "logsumexp", "--sign", "s.npy"][..],
        &["--op", "softmax", "--weights", &input],
        &["--op", "vjp", "--cotangent", &input, "--weights", &input],
    ] {
        assert_eq!(run(&[&["run", &input], arguments].concat()).status, 2, "{arguments:?}");
    }
}
