//! Axes: from either end, several together, all of them, and kept or not.

use crate::{has_adapter, npy, reference, run_with_input};

const SHAPE: [usize; 4] = [2, 3, 4, 5];

#[test]
fn any_axes_of_any_operation() {
    let values: Vec<f32> = reference::logits(120).iter().map(|&value| value as f32).collect();
    let wide: Vec<f64> = values.iter().map(|&value| value.into()).collect();
    let file = npy::f32_file(&SHAPE, &values);
    let devices: &[&str] = if has_adapter() { &["cpu", "gpu", "auto"] } else { &["cpu", "auto"] };
    for (axis, meant) in [
        ("-1", &[3][..]),
        ("3", &[3]),
        ("0", &[0]),
        ("-4", &[0]),
        ("-3", &[1]),
        ("2,3", &[2, 3]),
        ("-1,-2", &[2, 3]),
        ("0,-1", &[0, 3]),
        ("1,3", &[1, 3]),
        ("2,0", &[0, 2]),
        ("all", &[0, 1, 2, 3]),
    ] {
        for op in ["softmax", "log-softmax", "logsumexp"] {
            for device in devices {
                let arguments = ["run", "-", "-o", "-", "--op", op, "--device", device, "--axis", axis];
                let result = npy::parse(&run_with_input(&arguments, &file).succeeded().stdout);
                let kept: Vec<usize> =
                    (0..4).filter(|place| !meant.contains(place)).map(|place| SHAPE[place]).collect();
                assert_eq!(result.shape, if op == "logsumexp" { &kept } else { &SHAPE[..] });
                let expected = reference::compute(op, &wide, &SHAPE, meant);
                reference::assert_close(&result.values, &expected, "<f4");
            }
        }
    }
}

#[test]
fn keepdims_leaves_axes_of_length_one() {
    let file = npy::f64_file(&SHAPE, &reference::logits(120));
    let shape = |arguments: &[&str]| {
        let arguments = [&["run", "-", "-o", "-"], arguments].concat();
        npy::parse(&run_with_input(&arguments, &file).succeeded().stdout).shape
    };
    assert_eq!(shape(&["--op", "logsumexp", "--keepdims"]), [2, 3, 4, 1]);
    assert_eq!(shape(&["--op", "logsumexp", "--keepdims", "--axis", "-4,2"]), [1, 3, 1, 5]);
    assert_eq!(shape(&["--op", "logsumexp", "--keepdims", "--axis", "all"]), [1, 1, 1, 1]);
    assert!(shape(&["--op", "logsumexp", "--axis", "all"]).is_empty());
    assert_eq!(shape(&["--keepdims"]), SHAPE);
}

#[test]
fn an_axis_that_the_array_does_not_have() {
    let file = npy::f64_file(&[2, 3], &reference::logits(6));
    for axis in ["2", "-3", "0,5", "9223372036854775807", "-9223372036854775808"] {
        let error = run_with_input(&["run", "-", "--axis", axis], &file).failed(3);
        assert!(error.contains("from -2 to 1"), "{error}");
    }
    let error = run_with_input(&["run", "-", "--axis=1,-1"], &file).failed(3);
    assert!(error.contains("more than once"), "{error}");
}
