//! Products with Jacobians, against the dense matrix.

use crate::{Folder, computed, computed_on, devices, npy, reference, run};

/// The Jacobian of softmax or of its logarithm, applied from the side that the operation applies it.
fn product(op: &str, logits: &[f64], v: &[f64]) -> Vec<f64> {
    let p = reference::softmax(logits, &vec![true; logits.len()]);
    let entry = |i: usize, j: usize| {
        let derivative = f64::from(u8::from(i == j)) - p[j];
        if op.starts_with("log") { derivative } else { p[i] * derivative }
    };
    let all = 0..p.len();
    let along = |i: usize, j: usize| if op.ends_with("vjp") { entry(j, i) } else { entry(i, j) };
    all.clone().map(|i| all.clone().map(|j| along(i, j) * v[j]).sum()).collect()
}

/// How far a product may be from one in f64: no vector here has an element beyond 8, or more than 6 of them.
fn tolerance(device: &str) -> f64 {
    if device == "gpu" { 40.0 * 2f64.powi(-24) * (8.0 + 6.0 * 8.0) } else { 1e-13 }
}

const OPS: [(&str, &str); 4] = [
    ("vjp", "--cotangent"),
    ("jvp", "--tangent"),
    ("log-softmax-vjp", "--cotangent"),
    ("log-softmax-jvp", "--tangent"),
];

#[test]
fn products_are_those_with_the_dense_matrix() {
    let folder = Folder::new();
    let numbers = reference::logits(240);
    let (logits, v) = numbers.split_at(120);
    let input = folder.file("x.npy", &npy::f64_file(&[4, 5, 6], logits));
    let vector = folder.file("v.npy", &npy::f64_file(&[4, 5, 6], v));
    for &device in devices() {
        for (op, option) in OPS {
            let last = computed_on(device, &[&input, "--op", op, option, &vector]);
            let expected: Vec<f64> =
                logits.chunks(6).zip(v.chunks(6)).flat_map(|(logits, v)| product(op, logits, v)).collect();
            let descr = if device == "gpu" { "<f4" } else { "<f8" };
            assert_eq!((last.descr.as_str(), &last.shape[..]), (descr, &[4, 5, 6][..]));
            reference::assert_within(&last.values, &expected, tolerance(device));

            let along_first = computed_on(device, &[&input, "--op", op, option, &vector, "--axis", "0"]);
            for place in 0..30 {
                let row = |values: &[f64]| (0..4).map(|class| values[class * 30 + place]).collect::<Vec<_>>();
                let expected = product(op, &row(logits), &row(v));
                reference::assert_within(&row(&along_first.values), &expected, tolerance(device));
            }
        }
    }
}

/// The chain rule: derivatives are by the logits as they are given.
#[test]
fn temperature_and_masks_are_part_of_what_is_differentiated() {
    let folder = Folder::new();
    let numbers = reference::logits(8);
    let (logits, v) = numbers.split_at(4);
    let input = folder.file("x.npy", &npy::f64_file(&[4], logits));
    let vector = folder.file("v.npy", &npy::f64_file(&[4], v));
    let mask = folder.file("mask.npy", &npy::bool_file(&[4], &[true, true, false, true]));
    let taken = [0, 1, 3];
    let cases = devices().iter().flat_map(|&device| OPS.map(|(op, option)| (device, op, option)));
    for (device, op, option) in cases {
        let arguments = [&input, "--op", op, option, &vector, "--mask", &mask, "--temperature", "2.5"];
        let result = computed_on(device, &arguments).values;
        let cold: Vec<f64> = taken.iter().map(|&place| logits[place] / 2.5).collect();
        let expected = product(op, &cold, &taken.map(|place| v[place]));
        let expected: Vec<f64> = expected.iter().map(|value| value / 2.5).collect();
        reference::assert_within(&taken.map(|place| result[place]), &expected, tolerance(device));
        assert_eq!(result[2], 0.0);
    }
}

/// The logits decide on the type: a wider vector is rounded, a narrower one loses nothing.
#[test]
fn a_vector_may_have_a_type_of_its_own() {
    let folder = Folder::new();
    let input = folder.file("x.npy", &npy::f32_file(&[4], &[0.0; 4]));
    for (descr, data) in [
        ("<f8", [1f64, 0.0, 0.0, 0.0].iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>()),
        (">i2", vec![0, 1, 0, 0, 0, 0, 0, 0]),
        ("|b1", vec![1, 0, 0, 0]),
    ] {
        let vector = folder.file("v.npy", &npy::file(descr, false, &[4], &data));
        let result = computed(&[&input, "--op", "vjp", "--cotangent", &vector]);
        assert_eq!(
            (result.descr.as_str(), &result.values[..]),
            ("<f4", &[0.1875, -0.0625, -0.0625, -0.0625][..])
        );
    }
}

#[test]
fn a_vector_has_the_shape_of_the_logits() {
    let folder = Folder::new();
    let input = folder.file("x.npy", &npy::f64_file(&[2, 3], &[0.0; 6]));
    for shape in [&[3][..], &[1, 3], &[3, 2], &[6]] {
        let vector = folder.file("v.npy", &npy::f64_file(shape, &vec![0.0; shape.iter().product()]));
        let error = run(&["run", &input, "--op", "jvp", "--tangent", &vector]).failed(3);
        assert!(error.contains("--tangent") && error.contains("where 2 × 3 is needed"), "{error}");
    }
    let ran = run(&["run", &input, "--op", "jvp", "--tangent", &input, "--json"]).succeeded();
    let facts = ran.json();
    assert_eq!(facts["other_inputs"][0]["name"], "tangent");
    assert_eq!(facts["other_inputs"][0]["shape"], serde_json::json!([2, 3]));
    assert_eq!(facts["other_inputs"][0]["dtype"], "f64");
}
