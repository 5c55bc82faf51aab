//! Element types, byte orders, storage orders and shapes.

use half::f16;

use crate::{Folder, has_adapter, npy, reference, run, run_with_input};

/// Runs on bytes given by standard input, and reads the array that comes back.
#[track_caller]
fn computed(file: &[u8], arguments: &[&str]) -> npy::Array {
    let arguments = [&["run", "-", "-o", "-"], arguments].concat();
    npy::parse(&run_with_input(&arguments, file).succeeded().stdout)
}

#[test]
fn every_type_in_either_byte_order() {
    // 2 × 3 small numbers that every type holds; the unsigned and boolean ones take their absolute values.
    let numbers = [3i8, -2, 5, 0, 1, -7];
    macro_rules! check {
        ($kind:literal, $result:literal, $convert:expr) => {{
            let convert = $convert;
            let values = numbers.map(|number| convert(number));
            let wide: Vec<f64> = values.iter().map(|value| format!("{value}").parse().unwrap()).collect();
            let expected = reference::compute("softmax", &wide, &[2, 3], &[1]);
            let little: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            let big: Vec<u8> = values.iter().flat_map(|value| value.to_be_bytes()).collect();
            let orders: [(&str, &[u8]); 2] = [("<", &little), (">", &big)];
            for (order, data) in orders {
                let file = npy::file(&format!("{order}{}", $kind), false, &[2, 3], data);
                let result = computed(&file, &[]);
                assert_eq!(
                    (result.descr.as_str(), &result.shape[..]),
                    ($result, &[2, 3][..]),
                    "{order}{}",
                    $kind
                );
                reference::assert_close(&result.values, &expected, $result);
            }
        }};
    }
    check!("i1", "<f8", |number: i8| number);
    check!("i2", "<f8", i16::from);
    check!("i4", "<f8", i32::from);
    check!("i8", "<f8", i64::from);
    check!("u1", "<f8", |number: i8| number.unsigned_abs());
    check!("u2", "<f8", |number: i8| u16::from(number.unsigned_abs()));
    check!("u4", "<f8", |number: i8| u32::from(number.unsigned_abs()));
    check!("u8", "<f8", |number: i8| u64::from(number.unsigned_abs()));
    check!("f2", "<f2", |number: i8| f16::from_f32(f32::from(number)));
    check!("f4", "<f4", f32::from);
    check!("f8", "<f8", f64::from);
}

#[test]
fn single_bytes_have_no_order_and_booleans_are_numbers() {
    let expected = reference::compute("softmax", &[1.0, 0.0, 1.0, 1.0], &[2, 2], &[1]);
    for descr in ["|b1", "|u1", "|i1"] {
        let result = computed(&npy::file(descr, false, &[2, 2], &[1, 0, 1, 1]), &[]);
        assert_eq!(result.descr, "<f8");
        reference::assert_close(&result.values, &expected, "<f8");
    }
}

#[test]
fn extremes_of_integers_are_not_wrapped() {
    let data: Vec<u8> = [0u64, u64::MAX].iter().flat_map(|value| value.to_le_bytes()).collect();
    assert_eq!(
        computed(&npy::file("<u8", false, &[2], &data), &["--op", "logsumexp"]).values,
        [2f64.powi(64)]
    );
    let data: Vec<u8> = [i64::MIN, i64::MAX].iter().flat_map(|value| value.to_be_bytes()).collect();
    assert_eq!(
        computed(&npy::file(">i8", false, &[2], &data), &["--op", "logsumexp"]).values,
        [2f64.powi(63)]
    );
    let data: Vec<u8> = [i64::MIN, i64::MIN].iter().flat_map(|value| value.to_be_bytes()).collect();
    let result = computed(&npy::file(">i8", false, &[2], &data), &["--op", "logsumexp", "--dtype", "f32"]);
    assert_eq!((result.values[0], result.descr.as_str()), (-(2f64.powi(63)), "<f4"));
}

#[test]
fn fortran_order_and_every_number_of_dimensions() {
    let folder = Folder::new();
    for shape in [&[6][..], &[2, 3], &[4, 1, 3], &[2, 3, 4, 5], &[2, 1, 2, 3, 2, 2]] {
        let count = shape.iter().product();
        let values = reference::logits(count);
        let expected = reference::compute("log-softmax", &values, shape, &[shape.len() - 1]);
        // The first index fastest: element (i, j, …) at i + j·length₀ + …
        let mut fortran = vec![0.0; count];
        for (place, &value) in values.iter().enumerate() {
            let (mut rest, mut index) = (place, 0);
            for axis in (0..shape.len()).rev() {
                index += rest % shape[axis] * shape[..axis].iter().product::<usize>();
                rest /= shape[axis];
            }
            fortran[index] = value;
        }
        let bytes = |values: &[f64]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>();
        for (order, data) in [(false, bytes(&values)), (true, bytes(&fortran))] {
            let input = folder.file("in.npy", &npy::file("<f8", order, shape, &data));
            let output = folder.name("out.npy");
            run(&["run", &input, "-o", &output, "--op", "log-softmax"]).succeeded();
            let result = npy::parse(&std::fs::read(output).unwrap());
            assert_eq!(result.shape, shape);
            reference::assert_close(&result.values, &expected, "<f8");
        }
    }
}

#[test]
fn a_scalar_is_a_row_of_one_class() {
    let scalar = npy::f32_file(&[], &[2.5]);
    for arguments in [&[][..], &["--axis", "all"]] {
        let result = computed(&scalar, arguments);
        assert_eq!((result.shape.len(), &result.values[..]), (0, &[1.0][..]));
    }
    assert_eq!(computed(&scalar, &["--op", "logsumexp", "--keepdims"]).values, [2.5]);
    let error = run_with_input(&["run", "-", "--axis", "-1"], &scalar).failed(3);
    assert!(error.contains("--axis all"), "{error}");
}

#[test]
fn arrays_without_rows_or_classes() {
    for (shape, arguments, expected_shape, expected) in [
        (&[0, 5][..], &[][..], &[0, 5][..], &[][..]),
        (&[3, 0], &[], &[3, 0], &[]),
        (&[0], &["--op", "log-softmax"], &[0], &[]),
        (&[0, 5], &["--op", "logsumexp"], &[0], &[]),
        (&[3, 0], &["--op", "logsumexp"], &[3], &[f64::NEG_INFINITY; 3]),
        (&[3, 0], &["--op", "logsumexp", "--keepdims"], &[3, 1], &[f64::NEG_INFINITY; 3]),
        (&[0, 5], &["--op", "logsumexp", "--axis", "all"], &[], &[f64::NEG_INFINITY]),
    ] {
        for file in [npy::f32_file(shape, &[]), npy::f64_file(shape, &[])] {
            let result = computed(&file, arguments);
            assert_eq!((&result.shape[..], &result.values[..]), (expected_shape, expected));
            let arguments = [&["run", "-"], arguments].concat();
            run_with_input(&arguments, &file).succeeded();
        }
    }
}

#[test]
fn the_result_has_the_type_asked_for() {
    let values = reference::logits(30);
    let single: Vec<f32> = values.iter().map(|&value| value as f32).collect();
    let rounded: Vec<f64> = single.iter().map(|&value| value.into()).collect();
    let half: Vec<f16> = values.iter().map(|&value| f16::from_f64(value)).collect();
    let halves: Vec<f64> = half.iter().map(|value| value.to_f64()).collect();
    let half_data: Vec<u8> = half.iter().flat_map(|value| value.to_le_bytes()).collect();
    let half_file = npy::file("<f2", false, &[3, 10], &half_data);

    // What is wider is rounded first; what is narrower loses nothing.
    for (file, dtype, meant, descr) in [
        (&npy::f64_file(&[3, 10], &values), "f32", &rounded, "<f4"),
        (&npy::f64_file(&[3, 10], &values), "f64", &values, "<f8"),
        (&npy::f32_file(&[3, 10], &single), "f64", &rounded, "<f8"),
        (&half_file, "f32", &halves, "<f4"),
        (&half_file, "f64", &halves, "<f8"),
    ] {
        let result = computed(file, &["--dtype", dtype]);
        assert_eq!(result.descr, descr);
        reference::assert_close(&result.values, &reference::compute("softmax", meant, &[3, 10], &[1]), descr);
    }
    let result = computed(&half_file, &[]);
    assert_eq!(result.descr, "<f2");
    reference::assert_close(&result.values, &reference::compute("softmax", &halves, &[3, 10], &[1]), "<f2");
}

/// A GPU under `auto` must not take what it would have to round.
#[test]
fn wide_numbers_run_on_the_cpu_by_themselves() {
    let values = reference::logits(3000);
    let integers: Vec<u8> = (0..3000u32).flat_map(|number| (number * 7919 % 41).to_le_bytes()).collect();
    let whole: Vec<f64> = (0..3000u32).map(|number| f64::from(number * 7919 % 41)).collect();
    for (file, meant) in [
        (npy::f64_file(&[3, 1000], &values), &values),
        (npy::file("<u4", false, &[3, 1000], &integers), &whole),
    ] {
        for op in ["softmax", "log-softmax", "logsumexp"] {
            let ran = run_with_input(&["run", "-", "-o", "-", "--json", "--op", op], &file).succeeded();
            let facts: serde_json::Value = serde_json::from_str(&ran.stderr).unwrap();
            assert_eq!(facts["device"]["kind"], "cpu");
            assert_eq!(facts["device"]["why"], "GPUs do not compute in f64");
            let expected = reference::compute(op, meant, &[3, 1000], &[1]);
            reference::assert_close(&npy::parse(&ran.stdout).values, &expected, "<f8");
        }
    }
}

#[test]
fn a_gpu_computes_in_f32_or_refuses() {
    if !has_adapter() {
        return;
    }
    let values = reference::logits(64);
    let wide = npy::f64_file(&[4, 16], &values);
    let bytes: Vec<u8> = (0..64).collect();
    let integers = npy::file("|u1", false, &[4, 16], &bytes);
    let narrow = npy::f32_file(&[4, 16], &values.iter().map(|&value| value as f32).collect::<Vec<_>>());
    let name = adapter_name();
    for device in ["gpu", name.as_str()] {
        for (file, arguments) in [(&wide, &[][..]), (&integers, &[]), (&narrow, &["--dtype", "f64"])] {
            let arguments = [&["run", "-", "--device", device], arguments].concat();
            let error = run_with_input(&arguments, file).failed(4);
            assert!(error.contains("--dtype f32"), "{error}");
            assert_eq!(error.contains("u8"), std::ptr::eq(file, &integers));
        }
        let rounded: Vec<f64> = values.iter().map(|&value| f64::from(value as f32)).collect();
        let whole: Vec<f64> = bytes.iter().map(|&byte| byte.into()).collect();
        for (file, meant) in [(&wide, &rounded), (&integers, &whole)] {
            let result = computed(file, &["--device", device, "--dtype", "f32"]);
            assert_eq!(result.descr, "<f4");
            reference::assert_close(
                &result.values,
                &reference::compute("softmax", meant, &[4, 16], &[1]),
                "<f4",
            );
        }
    }
}

fn adapter_name() -> String {
    let found = run(&["devices", "--json"]).succeeded().json();
    found["adapters"][0]["name"].as_str().unwrap().to_uppercase()
}

#[test]
fn every_version_of_the_format() {
    let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }";
    let data: Vec<u8> = [6f32, 3.0].iter().flat_map(|value| value.to_le_bytes()).collect();
    for version in [1, 2, 3] {
        let result = computed(&npy::with_header(version, header, &data), &[]);
        reference::assert_close(&result.values, &[0.952_574_126_822_433, 0.047_425_873_177_567], "<f4");
    }
}
