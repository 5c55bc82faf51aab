//! The Jacobians: shapes, values, and what the summary says of them.

use crate::{devices, example, npy, reference, run, run_with_input};

#[test]
fn the_digits_have_a_matrix_each() {
    let file = std::fs::read(example("digits_logits.npy")).unwrap();
    let logits: Vec<f64> = npy::parse(&file).values;
    let p = reference::compute("softmax", &logits, &[1797, 10], &[1]);
    for device in devices() {
        for op in ["jacobian", "log-softmax-jacobian"] {
            let ran = run_with_input(&["run", "-", "-o", "-", "--op", op, "--device", device], &file);
            let result = npy::parse(&ran.succeeded().stdout);
            assert_eq!(result.shape, [1797, 10, 10]);
            for (row, matrix) in result.values.chunks(100).enumerate() {
                let p = &p[10 * row..][..10];
                for (place, value) in matrix.iter().enumerate() {
                    let (i, j) = (place / 10, place % 10);
                    let derivative = f64::from(u8::from(i == j)) - p[j];
                    let expected = if op == "jacobian" { p[i] * derivative } else { derivative };
                    assert!((value - expected).abs() < 1e-6, "{op} ({row}, {i}, {j}) on {device}");
                }
            }
        }
    }
}

#[test]
fn the_classes_move_to_the_end() {
    let values: Vec<f32> = reference::logits(24).iter().map(|&value| value as f32).collect();
    let file = npy::f32_file(&[2, 3, 4], &values);
    for (axis, shape) in
        [("-1", vec![2, 3, 4, 4]), ("0", vec![3, 4, 2, 2]), ("0,2", vec![3, 8, 8]), ("all", vec![24, 24])]
    {
        for device in devices() {
            let arguments = ["run", "-", "-o", "-", "--op", "jacobian", "--axis", axis, "--device", device];
            assert_eq!(npy::parse(&run_with_input(&arguments, &file).succeeded().stdout).shape, shape);
        }
    }
}

#[test]
fn the_summary_names_the_largest_entry() {
    let ran = run(&["run", &example("digits_logits.npy"), "--op", "jacobian"]);
    let text = String::from_utf8(ran.succeeded().stdout).unwrap();
    assert!(text.contains("largest entry") && text.contains("derivative"), "{text}");
    let ran = run(&["run", &example("digits_logits.npy"), "--op", "jacobian", "--json"]);
    let facts: serde_json::Value = serde_json::from_slice(&ran.succeeded().stdout).unwrap();
    assert_eq!(facts["result"]["shape"], serde_json::json!([1797, 10, 10]));
    assert_eq!(facts["first_rows"][0]["class"].as_array().unwrap().len(), 2);
}

#[test]
fn a_jacobian_that_no_disk_holds_is_an_error() {
    let file = npy::f32_file(&[1, 3_000_000], &vec![0.0; 3_000_000]);
    for device in devices() {
        let ran = run_with_input(&["run", "-", "-o", "-", "--op", "jacobian", "--device", device], &file);
        assert_eq!(ran.status, 5, "{}", ran.stderr);
        assert!(ran.stderr.contains("the disk has"), "{}", ran.stderr);
    }
}
