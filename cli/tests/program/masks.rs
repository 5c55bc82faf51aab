//! Temperature, masks, causality, windows and lengths, and rows in which nothing takes part.

use half::f16;

use crate::{Folder, computed, computed_on, devices, npy, reference, run};

/// A result of logits of `shape` along their last axis, where `adjust` says for a row and a class what takes
/// part and as what.
#[track_caller]
fn assert_adjusted(
    result: &npy::Array,
    classes: usize,
    logits: &[f64],
    adjust: impl Fn(usize, usize, f64) -> Option<f64>,
) {
    let descr = result.descr.as_str();
    for (row, (result, logits)) in result.values.chunks(classes).zip(logits.chunks(classes)).enumerate() {
        let adjusted: Vec<Option<f64>> =
            (0..classes).map(|class| adjust(row, class, logits[class])).collect();
        let part: Vec<bool> = adjusted.iter().map(Option::is_some).collect();
        let values: Vec<f64> = adjusted.iter().map(|value| value.unwrap_or(0.0)).collect();
        if part.contains(&true) {
            let expected = reference::softmax(&values, &part);
            if descr == "<f4" {
                // What is rounded before the exponential takes it grows with the row.
                let greatest = values.iter().fold(0.0, |most: f64, value| most.max(value.abs()));
                let units = (16.0 + 3.0 * greatest) * 2f64.powi(-24);
                for (actual, expected) in result.iter().zip(expected) {
                    // Devices may flush what is smaller than any normal number.
                    let bound = units * expected + f64::from(f32::MIN_POSITIVE);
                    assert!((actual - expected).abs() <= bound, "row {row}: {actual} {expected}");
                }
            } else {
                reference::assert_close(result, &expected, descr);
            }
        } else {
            assert!(result.iter().all(|value| value.is_nan()), "row {row}");
        }
    }
}

#[test]
fn a_mask_of_any_shape_that_can_be_broadcast() {
    let folder = Folder::new();
    let logits = reference::logits(120);
    let input = folder.file("x.npy", &npy::f64_file(&[2, 3, 4, 5], &logits));
    for shape in [&[2, 3, 4, 5][..], &[5], &[4, 1], &[2, 1, 1, 5], &[1, 3, 1, 1], &[1], &[]] {
        let elements: usize = shape.iter().product();
        let mask: Vec<bool> = (0..elements).map(|place| place % 3 != 1).collect();
        let at = |row: usize, class: usize| {
            let position = [row / 12, row / 4 % 3, row % 4, class];
            let missing = 4 - shape.len();
            let step =
                |place: usize, axis: usize| place * shape[axis] + position[missing + axis] % shape[axis];
            (0..shape.len()).fold(0, step)
        };
        let truths = folder.file("mask.npy", &npy::bool_file(shape, &mask));
        let bytes: Vec<u8> = mask.iter().map(|&part| part.into()).collect();
        let numbers = folder.file("numbers.npy", &npy::file("|u1", false, shape, &bytes));
        let cases = [("cpu", &truths), ("cpu", &numbers), ("gpu", &truths)];
        for (device, mask_file) in cases.into_iter().filter(|(device, _)| devices().contains(device)) {
            let result = computed_on(device, &[&input, "--mask", mask_file]);
            assert_adjusted(&result, 5, &logits, |row, class, x| mask[at(row, class)].then_some(x));
        }
        let added: Vec<f64> = (0..elements).map(|place| place as f64 % 3.0 - 1.0).collect();
        let added_file = folder.file("added.npy", &npy::f64_file(shape, &added));
        for &device in devices() {
            let result = computed_on(device, &[&input, "--add-mask", &added_file, "--temperature", "0.5"]);
            assert_adjusted(&result, 5, &logits, |row, class, x| Some(x / 0.5 + added[at(row, class)]));
        }
    }
}

#[test]
fn masks_that_do_not_fit() {
    let folder = Folder::new();
    let input = folder.file("x.npy", &npy::f64_file(&[2, 3], &[0.0; 6]));
    for shape in [&[2][..], &[3, 3], &[2, 1, 1], &[1, 2, 3], &[0]] {
        let mask = folder.file("mask.npy", &npy::bool_file(shape, &vec![true; shape.iter().product()]));
        let error = run(&["run", &input, "--mask", &mask]).failed(3);
        assert!(error.contains("cannot be broadcast to 2 × 3"), "{error}");
    }
    let numbers = folder.file("numbers.npy", &npy::file("|u1", false, &[3], &[1, 2, 0]));
    assert!(run(&["run", &input, "--mask", &numbers]).failed(3).contains("is 2, where 0 or 1"));
    let floats = folder.file("floats.npy", &npy::f64_file(&[3], &[0.0; 3]));
    assert!(run(&["run", &input, "--mask", &floats]).failed(3).contains("booleans"));
    let truths = folder.file("truths.npy", &npy::bool_file(&[3], &[true; 3]));
    assert!(run(&["run", &input, "--add-mask", &truths]).failed(3).contains("--mask"));
}

/// Whatever a masked logit is, nothing of it is left.
#[test]
fn what_is_masked_has_no_influence() {
    let folder = Folder::new();
    let odd = [f64::NAN, f64::INFINITY, 1e300, 1.0, 2.0];
    let input = folder.file("x.npy", &npy::f64_file(&[5], &odd));
    let mask = folder.file("mask.npy", &npy::bool_file(&[5], &[false, false, false, true, true]));
    let p = 1.0 / (1.0 + 1f64.exp());
    for (op, masked, expected) in
        [("softmax", 0.0, [p, 1.0 - p]), ("log-softmax", f64::NEG_INFINITY, [p.ln(), (1.0 - p).ln()])]
    {
        for &device in devices() {
            let result = computed_on(device, &[&input, "--op", op, "--mask", &mask]);
            assert_eq!(result.values[..3], [masked; 3]);
            reference::assert_close(&result.values[3..], &expected, &result.descr);
        }
    }
    let sum = computed(&[&input, "--op", "logsumexp", "--mask", &mask]);
    assert!(sum.shape.is_empty() && (sum.values[0] - (1f64.exp() + 2f64.exp()).ln()).abs() < 1e-14);
}

#[test]
fn queries_see_the_keys_that_they_may() {
    let folder = Folder::new();
    let logits = reference::logits(2 * 4 * 6);
    let input = folder.file("x.npy", &npy::f64_file(&[2, 4, 6], &logits));
    for (arguments, offset, window) in [
        (&["--causal"][..], 0, None),
        (&["--causal", "--causal-offset", "2"], 2, None),
        (&["--causal", "--causal-offset", "-1"], -1, None),
        (&["--causal", "--window", "2"], 0, Some(2)),
        (&["--causal", "--causal-offset=3", "--window", "3"], 3, Some(3)),
        (&["--causal", "--window", "0"], 0, Some(0)),
        (&["--causal", "--causal-offset", "9223372036854775807"], i64::MAX, None),
    ] {
        for &device in devices() {
            let result = computed_on(device, &[&[&input[..]], arguments].concat());
            assert_adjusted(&result, 6, &logits, |row, class, x| {
                let (i, j) = (i128::from(row as u64 % 4), i128::from(class as u64));
                let last = i + i128::from(offset);
                let seen = j <= last && window.is_none_or(|window| j > last - window);
                seen.then_some(x)
            });
        }
    }
}

#[test]
fn causality_needs_queries_and_keys() {
    let folder = Folder::new();
    let square = folder.file("x.npy", &npy::f64_file(&[3, 3], &[0.0; 9]));
    let line = folder.file("line.npy", &npy::f64_file(&[3], &[0.0; 3]));
    assert!(run(&["run", &line, "--causal"]).failed(3).contains("queries"));
    assert!(run(&["run", &square, "--causal", "--axis", "0"]).failed(3).contains("queries"));
    run(&["run", &square, "--causal", "--axis", "1"]).succeeded();
}

#[test]
fn rows_of_different_lengths() {
    let folder = Folder::new();
    let logits = reference::logits(2 * 3 * 4);
    let input = folder.file("x.npy", &npy::f64_file(&[2, 3, 4], &logits));
    let lengths = [4i64, 1, 2, 3, 0, 4];
    for shape in [&[2, 3][..], &[2, 3, 1]] {
        let file = folder.file("lengths.npy", &npy::i64_file(shape, &lengths));
        for &device in devices() {
            let result = computed_on(device, &[&input, "--lengths", &file]);
            assert_adjusted(&result, 4, &logits, |row, class, x| {
                (class < lengths[row] as usize).then_some(x)
            });
        }
    }
    let middle = folder.file("middle.npy", &npy::i64_file(&[2, 4], &[3, 0, 1, 2, 3, 3, 3, 1]));
    for &device in devices() {
        let arguments = [&input, "--lengths", &middle, "--axis", "1", "--fully-masked", "zero"];
        let result = computed_on(device, &arguments);
        assert_eq!([1, 5, 9, 6, 10].map(|place| result.values[place]), [0.0; 5]);
    }

    for (shape, values, reason) in [
        (&[6][..], &lengths, "where 2 × 3 is needed"),
        (&[2, 3], &[4, 1, 2, 3, 0, 5], "length of row 5 is 5"),
        (&[2, 3], &[4, 1, 2, 3, 0, -1], "is -1, where a whole number from 0 on"),
    ] {
        let file = folder.file("lengths.npy", &npy::i64_file(shape, values));
        let error = run(&["run", &input, "--lengths", &file]).failed(3);
        assert!(error.contains(reason), "{error}");
    }
    let floats = folder.file("lengths.npy", &npy::f64_file(&[2, 3], &[1.0; 6]));
    assert!(run(&["run", &input, "--lengths", &floats]).failed(3).contains("integers are needed"));
}

#[test]
fn one_temperature_or_one_for_each_row() {
    let folder = Folder::new();
    let logits = reference::logits(2 * 3 * 4);
    let input = folder.file("x.npy", &npy::f64_file(&[2, 3, 4], &logits));
    for &device in devices() {
        let result = computed_on(device, &[&input, "--temperature", "1e-1"]);
        // What is meant is the nearest number of the type that is computed in.
        let temperature = if device == "gpu" { f64::from(0.1f32) } else { 0.1 };
        assert_adjusted(&result, 4, &logits, |_, _, x| Some(x / temperature));
    }

    let each: Vec<f64> = (1..=6).map(f64::from).collect();
    for shape in [&[2, 3][..], &[2, 3, 1]] {
        let file = folder.file("t.npy", &npy::f64_file(shape, &each));
        for &device in devices() {
            let result = computed_on(device, &[&input, "--temperature", &file]);
            assert_adjusted(&result, 4, &logits, |row, _, x| Some(x / each[row]));
        }
    }
    for (shape, of) in [
        (&[3][..], (|row| row % 3) as fn(usize) -> usize),
        (&[2, 1], |row| row / 3),
        (&[2, 1, 1], |row| row / 3),
        (&[], |_| 0),
    ] {
        let data: Vec<u8> = each[..shape.iter().product()]
            .iter()
            .flat_map(|&value| f16::from_f64(value).to_le_bytes())
            .collect();
        let file = folder.file("t.npy", &npy::file("<f2", false, shape, &data));
        let result = computed(&[&input, "--temperature", &file]);
        assert_adjusted(&result, 4, &logits, |row, _, x| Some(x / each[of(row)]));
    }
    let wrong = folder.file("t.npy", &npy::f64_file(&[2], &[1.0; 2]));
    assert!(
        run(&["run", &input, "--temperature", &wrong]).failed(3).contains("cannot be broadcast to 2 × 3")
    );
}

#[test]
fn a_temperature_is_finite_and_positive() {
    let folder = Folder::new();
    let wide = folder.file("wide.npy", &npy::f64_file(&[2, 3], &[0.0; 6]));
    let narrow = folder.file("narrow.npy", &npy::f32_file(&[2, 3], &[0.0; 6]));
    for wrong in ["0", "-1", "-0.5", "nan", "inf", "1e999", "-0"] {
        let ran = run(&["run", &wide, "--temperature", wrong]);
        assert_eq!(ran.status, 2, "{wrong}: {}", ran.stderr);
        let number: f64 = wrong.parse().unwrap();
        let file = folder.file("t.npy", &npy::f64_file(&[2], &[1.0, number]));
        let error = run(&["run", &wide, "--temperature", &file, "-o", &folder.name("out.npy")]).failed(2);
        assert!(error.contains("of row 1"), "{error}");
    }
    // What f64 holds may be nothing in f32.
    for wrong in ["1e-60", "1e60"] {
        run(&["run", &wide, "--temperature", wrong]).succeeded();
        assert!(run(&["run", &narrow, "--temperature", wrong]).failed(2).contains("in f32"));
    }
    assert!(run(&["run", &wide, "--temperature", "warm"]).failed(3).contains("no such file"));
    assert!(!folder.names().contains(&"out.npy".to_string()));
}

#[test]
fn rows_in_which_nothing_takes_part() {
    let folder = Folder::new();
    let least = f64::NEG_INFINITY;
    let by_itself = folder.file("x.npy", &npy::f64_file(&[2, 2], &[least, least, 0.0, 0.0]));
    let masked = folder.file("y.npy", &npy::f64_file(&[2, 2], &[1.0, 2.0, 0.0, 0.0]));
    let mask = folder.file("mask.npy", &npy::bool_file(&[2, 1], &[false, true]));
    let ways = [&[&by_itself[..]][..], &[&masked, "--mask", &mask]];
    for (&device, arguments) in devices().iter().flat_map(|device| ways.map(|way| (device, way))) {
        for (op, nan, zero) in [("softmax", f64::NAN, 0.0), ("log-softmax", f64::NAN, least)] {
            for (fully_masked, expected) in [("nan", nan), ("zero", zero)] {
                let arguments = [arguments, &["--op", op, "--fully-masked", fully_masked]].concat();
                let row = &computed_on(device, &arguments).values[..2];
                assert!(row.iter().all(
                    |value| value.to_bits() == expected.to_bits() || value.is_nan() && expected.is_nan()
                ));
            }
        }
        let sums = computed_on(device, &[arguments, &["--op", "logsumexp"]].concat()).values;
        assert_eq!(sums[0], least);
    }
}
