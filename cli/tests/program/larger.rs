//! Arrays larger than the memory they may take: window by window, with the bits that they have as a whole; killed,
//! cancelled, and gone on with.

use half::{bf16, f16};

use crate::{Folder, has_adapter, npy, reference, run};

/// Few bytes of memory, so that a small array takes many windows.
const TIGHT: &str = "1MiB";

fn devices() -> Vec<&'static str> {
    if has_adapter() { vec!["cpu", "gpu"] } else { vec!["cpu"] }
}

/// Runs with all the memory and with little of it, and holds the files against each other.
#[track_caller]
fn same_bits(folder: &Folder, arguments: &[&str], outputs: &[(&str, &str)]) {
    let mut files = Vec::new();
    for memory in ["4GiB", TIGHT] {
        let named: Vec<String> =
            outputs.iter().flat_map(|(option, name)| [option.to_string(), folder.name(name)]).collect();
        let named: Vec<&str> = named.iter().map(String::as_str).collect();
        let ran = run(&[arguments, &named, &["--memory", memory, "--json"]].concat()).succeeded();
        let mut facts = ran.json();
        facts["seconds"] = serde_json::Value::Null;
        let file = |name: &str| folder.join(name.split(':').next().unwrap_or(name));
        let bytes: Vec<_> = outputs.iter().map(|(_, name)| std::fs::read(file(name)).unwrap()).collect();
        files.push((facts, bytes));
    }
    let [(whole_facts, whole), (facts, windows)] = &files[..] else { unreachable!() };
    assert_eq!(whole_facts, facts, "{arguments:?}");
    assert!(whole == windows, "{arguments:?}");
    assert!(whole.iter().all(|file| !file.is_empty()));
}

fn single(count: usize) -> Vec<f32> {
    reference::logits(count).iter().map(|&value| value as f32).collect()
}

fn bytes_of<T, const WIDTH: usize>(
    values: &[f32],
    encode: impl Fn(f32) -> T,
    bytes: impl Fn(T) -> [u8; WIDTH],
) -> Vec<u8> {
    values.iter().flat_map(|&value| bytes(encode(value))).collect()
}

/// 6 × 50 × 1000: 1.2 MB of f32, cut between the rows of any axis.
const SHAPE: [usize; 3] = [6, 50, 1000];

#[test]
fn any_axis_and_every_operation() {
    let folder = Folder::new();
    let values = single(300_000);
    let input = folder.file("in.npy", &npy::f32_file(&SHAPE, &values));
    let operand: Vec<f32> = values.iter().rev().map(|value| value / 3.0 + 0.1).collect();
    let second = folder.file("second.npy", &npy::f32_file(&SHAPE, &operand));
    let row = folder.file("row.npy", &npy::f32_file(&[50, 1], &operand[..50]));
    let sign = folder.name("sign.npy");
    for device in devices() {
        for axis in ["-1", "1", "0", "0,2", "1,2"] {
            // A GPU takes a while to open.
            let few = device == "gpu" && axis != "1";
            for op in if few { &["softmax"][..] } else { &["softmax", "log-softmax", "logsumexp"] } {
                let arguments = ["run", &input, "--axis", axis, "--op", op, "--device", device];
                same_bits(&folder, &arguments, &[("-o", "out.npy")]);
            }
        }
        for (op, option) in [
            ("vjp", "--cotangent"),
            ("jvp", "--tangent"),
            ("log-softmax-vjp", "--cotangent"),
            ("log-softmax-jvp", "--tangent"),
        ] {
            for axis in if device == "gpu" { &["1"][..] } else { &["-1", "1"] } {
                let arguments =
                    ["run", &input, "--op", op, option, &second, "--axis", axis, "--device", device];
                same_bits(&folder, &arguments, &[("-o", "out.npy")]);
            }
        }
        for weights in [&second, &row] {
            let arguments =
                ["run", &input, "--op", "logsumexp", "--weights", weights, "--keepdims", "--device", device];
            same_bits(&folder, &arguments, &[("-o", "out.npy"), ("--sign", "sign.npy")]);
            let arguments =
                ["run", &input, "--op", "logsumexp", "--weights", weights, "--axis", "1", "--device", device];
            same_bits(&folder, &arguments, &[("-o", "out.npy")]);
        }
    }
    assert!(std::fs::metadata(sign).unwrap().len() > 1000);
}

/// A row's Jacobian is cut, too.
#[test]
fn jacobians_of_few_rows_and_of_many() {
    let folder = Folder::new();
    let values = single(2500);
    for shape in [[3, 700], [250, 10]] {
        let input = folder.file("in.npy", &npy::f32_file(&shape, &values[..shape[0] * shape[1]]));
        for device in devices() {
            for op in ["jacobian", "log-softmax-jacobian"] {
                let arguments = ["run", &input, "--op", op, "--device", device];
                same_bits(&folder, &arguments, &[("-o", "out.npy")]);
            }
        }
    }
    let input = folder.file("in.npy", &npy::f32_file(&[7, 50, 3], &values[..1050]));
    same_bits(
        &folder,
        &["run", &input, "--op", "jacobian", "--axis", "1", "--device", "cpu"],
        &[("-o", "out.npy")],
    );
}

#[test]
fn temperatures_masks_and_lengths() {
    let folder = Folder::new();
    let values = single(300_000);
    let input = folder.file("in.npy", &npy::f32_file(&SHAPE, &values));
    let truth = |count: usize| (0..count).map(|place| place % 7 != 3).collect::<Vec<bool>>();
    let some = |count: usize| -> Vec<f32> { (0..count).map(|place| (place % 5) as f32 + 0.5).collect() };
    let of_row = folder.file("of-row.npy", &npy::bool_file(&[1000], &truth(1000)));
    let of_query = folder.file("of-query.npy", &npy::bool_file(&[50, 1], &truth(50)));
    let full = folder.file("full.npy", &npy::bool_file(&SHAPE, &truth(300_000)));
    let added = folder.file("added.npy", &npy::f32_file(&[6, 1, 1000], &some(6000)));
    let warm = folder.file("warm.npy", &npy::f32_file(&[6, 1], &some(6)));
    let warmer = folder.file("warmer.npy", &npy::f32_file(&[6, 50, 1], &some(300)));
    let lengths: Vec<i64> = (0..300).map(|row| row * 37 % 1001).collect();
    let lengths = folder.file("lengths.npy", &npy::i64_file(&[6, 50], &lengths));
    for device in devices() {
        for adjusting in [
            &["--mask", &of_row][..],
            &["--mask", &of_query, "--fully-masked", "zero"],
            &["--mask", &full, "--axis", "0"],
            &["--add-mask", &added, "--temperature", "0.7"],
            &["--temperature", &warm],
            &["--temperature", &warmer, "--lengths", &lengths],
            &["--causal"],
            &["--causal", "--causal-offset", "-3", "--window", "5", "--fully-masked", "zero"],
        ] {
            let arguments = [&["run", &input, "--device", device], adjusting].concat();
            same_bits(&folder, &arguments, &[("-o", "out.npy")]);
        }
    }
}

#[test]
fn losses_of_all_rows_together() {
    let folder = Folder::new();
    let values = single(300_000);
    let input = folder.file("in.npy", &npy::f32_file(&[3000, 100], &values));
    let labels: Vec<i64> = (0..3000).map(|row| if row % 9 == 4 { -100 } else { row * 31 % 100 }).collect();
    let labels = folder.file("labels.npy", &npy::i64_file(&[3000], &labels));
    let weights: Vec<f32> = (0..100).map(|class| class as f32 / 37.0 + 0.3).collect();
    let weights = folder.file("weights.npy", &npy::f32_file(&[100], &weights));
    let soft = folder.file("soft.npy", &npy::f32_file(&[3000, 100], &vec![0.01; 300_000]));
    for device in devices() {
        for (reduction, targets) in [
            (
                "mean",
                &["--labels", &labels, "--ignore-index", "-100", "--weights", &weights, "--z-loss", "0.01"][..],
            ),
            ("sum", &["--labels", &labels, "--ignore-index", "-100", "--label-smoothing", "0.1"]),
            ("none", &["--labels", &labels, "--ignore-index", "-100"]),
            ("mean", &["--target-probs", &soft, "--weights", &weights]),
        ] {
            let arguments = [
                &["run", &input, "--op", "cross-entropy", "--reduction", reduction, "--device", device],
                targets,
            ]
            .concat();
            let outputs = [("-o", "out.npy"), ("--grad", "grad.npy"), ("--log-probs", "logs.safetensors")];
            same_bits(&folder, &arguments, &outputs);
            same_bits(&folder, &arguments, &[("-o", "out.npy")]);
        }
    }
    // The classes on an axis that is not the last one.
    let input = folder.file("in.npy", &npy::f32_file(&[30, 100, 100], &values));
    let labels: Vec<i64> = (0..3000).map(|row| row * 31 % 100).collect();
    let labels = folder.file("labels.npy", &npy::i64_file(&[30, 100], &labels));
    let arguments =
        ["run", &input, "--op", "cross-entropy", "--axis", "1", "--labels", &labels, "--device", "cpu"];
    same_bits(&folder, &arguments, &[("--grad", "grad.npy")]);
}

/// Rounded once, turned, and out of a file of several tensors.
#[test]
fn types_orders_and_formats() {
    let folder = Folder::new();
    let values = single(300_000);
    let half = bytes_of(&values, f16::from_f32, f16::to_be_bytes);
    let wide = bytes_of(&values, f64::from, f64::to_be_bytes);
    let whole = bytes_of(&values, |value| value as i16, i16::to_le_bytes);
    let files = [(">f2", false, &half), (">f8", true, &wide), ("<i2", true, &whole)];
    for (descr, fortran, data) in files {
        let input = folder.file("in.npy", &npy::file(descr, fortran, &SHAPE, data));
        for axis in ["-1", "0"] {
            let arguments = ["run", &input, "--axis", axis, "--device", "cpu"];
            same_bits(&folder, &arguments, &[("-o", "out.npy")]);
        }
    }
    let narrow = bytes_of(&values, bf16::from_f32, bf16::to_le_bytes);
    let header = format!(
        r#"{{"first":{{"dtype":"U8","shape":[3],"data_offsets":[0,3]}},"x":{{"dtype":"BF16","shape":[6,50,1000],"data_offsets":[3,{}]}}}}"#,
        3 + narrow.len()
    );
    let file = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &[1, 2, 3], &narrow].concat();
    let input = format!("{}:x", folder.file("in.safetensors", &file));
    for device in devices() {
        let arguments = ["run", &input, "--axis", "1", "--device", device];
        same_bits(&folder, &arguments, &[("-o", "out.safetensors:y")]);
    }
}

/// The same answers by pipes, which come and go in order whatever the windows are.
#[test]
fn by_pipes() {
    let folder = Folder::new();
    let file = npy::f32_file(&SHAPE, &single(300_000));
    let input = folder.file("in.npy", &file);
    let output = folder.name("out.npy");
    run(&["run", &input, "--axis", "1", "--device", "cpu", "-o", &output]).succeeded();
    let piped = ["run", "-", "--axis", "1", "--device", "cpu", "-o", "-", "--memory", TIGHT];
    let ran = crate::run_with_input(&piped, &file).succeeded();
    assert!(ran.stdout == std::fs::read(output).unwrap());
}

/// Rows that do not fit are computed in pieces, of any type and along any axes.
#[test]
fn rows_larger_than_the_memory() {
    let folder = Folder::new();
    let values = single(1_050_000);
    let half = bytes_of(&values, f16::from_f32, f16::to_le_bytes);
    let shape = [300, 5, 700];
    let whole = bytes_of(&values, |value| value as i32, i32::to_le_bytes);
    let [single, half, fortran, whole] = [
        folder.file("single.npy", &npy::f32_file(&shape, &values)),
        folder.file("half.npy", &npy::file("<f2", false, &shape, &half)),
        folder.file("fortran.npy", &npy::file("<f2", true, &shape, &half)),
        folder.file("whole.npy", &npy::file("<i4", false, &shape, &whole)),
    ];
    for axis in ["all", "0,1", "0,2", "1,2"] {
        let inputs: &[&String] =
            if axis == "0,2" { &[&single, &half, &fortran, &whole] } else { &[&single, &half] };
        for input in inputs {
            for op in ["softmax", "log-softmax", "logsumexp"] {
                let arguments = ["run", input, "--axis", axis, "--op", op, "--device", "cpu"];
                same_bits(&folder, &arguments, &[("-o", "out.npy")]);
            }
        }
    }
    let rounded =
        ["run", &single, "--axis", "all", "--device", "cpu", "--dtype", "bf16", "--fully-masked", "zero"];
    same_bits(&folder, &rounded, &[("-o", "out.safetensors:it")]);
}

/// Such rows with temperatures and masks, which are read as far as they are broadcast to a piece.
#[test]
fn adjusted_rows_larger_than_the_memory() {
    let folder = Folder::new();
    let values = single(1_050_000);
    let truth = |count: usize| (0..count).map(|place| place % 7 != 3).collect::<Vec<bool>>();
    let some = |count: usize| -> Vec<f32> { (0..count).map(|place| (place % 5) as f32 + 0.5).collect() };
    let shape = [300, 5, 700];
    let half = bytes_of(&values, f16::from_f32, f16::to_be_bytes);
    let input = folder.file("in.npy", &npy::f32_file(&shape, &values));
    let turned = folder.file("turned.npy", &npy::file(">f2", true, &shape, &half));
    let last = folder.file("last.npy", &npy::bool_file(&[700], &truth(700)));
    let first = folder.file("first.npy", &npy::bool_file(&[300, 1, 1], &truth(300)));
    let full = folder.file("full.npy", &npy::bool_file(&shape, &truth(1_050_000)));
    let added = folder.file("added.npy", &npy::f32_file(&[300, 1, 700], &some(210_000)));
    let warm = folder.file("warm.npy", &npy::f32_file(&[5], &some(5)));
    let lengths = folder.file("lengths.npy", &npy::i64_file(&[5], &[0, 210_000, 1, 77_777, 100_000]));
    for (input, axis, op, adjusting) in [
        (&input, "all", "softmax", &["--mask", &last, "--temperature", "0.7"][..]),
        (&turned, "all", "log-softmax", &["--mask", &first, "--add-mask", &added]),
        (&input, "all", "logsumexp", &["--mask", &full, "--temperature", "3"]),
        (&input, "0,2", "log-softmax", &["--temperature", &warm, "--lengths", &lengths]),
        (&turned, "0,2", "softmax", &["--temperature", &warm, "--add-mask", &added]),
        (&input, "0,2", "softmax", &["--lengths", &lengths, "--mask", &full, "--fully-masked", "zero"]),
    ] {
        let arguments = [&["run", input, "--axis", axis, "--op", op, "--device", "cpu"], adjusting].concat();
        same_bits(&folder, &arguments, &[("-o", "out.npy")]);
    }
    // Queries see keys that are pieces apart.
    let scores = folder.file("scores.npy", &npy::f32_file(&[3, 350_000], &values));
    let lengths = folder.file("keys.npy", &npy::i64_file(&[3], &[350_000, 200_001, 5]));
    for adjusting in [
        &["--causal-offset", "200000"][..],
        &["--causal-offset", "349999", "--window", "300000", "--lengths", &lengths],
        &["--window", "1", "--fully-masked", "zero"],
    ] {
        let arguments = [&["run", &scores, "--causal", "--device", "cpu"], adjusting].concat();
        same_bits(&folder, &arguments, &[("-o", "out.npy")]);
    }
    // A length that there is not room for is that of a row of the array.
    let beyond = folder.file("beyond.npy", &npy::i64_file(&[3], &[1, 1, 350_001]));
    let arguments = ["run", &scores, "--lengths", &beyond, "--device", "cpu", "--memory", TIGHT];
    let error = run(&arguments).failed(3);
    assert!(error.contains("the length of row 2 is 350001"), "{error}");
}

/// Such rows with what they are multiplied with.
#[test]
fn products_and_sums_of_rows_larger_than_the_memory() {
    let folder = Folder::new();
    let values = single(1_050_000);
    let shape = [300, 5, 700];
    let reversed: Vec<f32> = values.iter().rev().map(|value| value / 3.0 + 0.1).collect();
    let half = bytes_of(&reversed, f16::from_f32, f16::to_le_bytes);
    let input = folder.file("in.npy", &npy::f32_file(&shape, &values));
    let second = folder.file("second.npy", &npy::f32_file(&shape, &reversed));
    let turned = folder.file("turned.npy", &npy::file("<f2", true, &shape, &half));
    let row = folder.file("row.npy", &npy::f32_file(&[5, 1], &[1.0, -1.0, 0.0, 2.0, 3.0]));
    let truth: Vec<bool> = (0..700).map(|place| place % 7 != 3).collect();
    let mask = folder.file("mask.npy", &npy::bool_file(&[700], &truth));
    for (op, option) in [
        ("vjp", "--cotangent"),
        ("jvp", "--tangent"),
        ("log-softmax-vjp", "--cotangent"),
        ("log-softmax-jvp", "--tangent"),
    ] {
        let arguments = ["run", &input, "--op", op, option, &second, "--axis", "all", "--device", "cpu"];
        same_bits(&folder, &arguments, &[("-o", "out.npy")]);
        let adjusting = ["--mask", &mask, "--temperature", "0.7", "--dtype", "f16"];
        let arguments = ["run", &input, "--op", op, option, &turned, "--axis", "0,2", "--device", "cpu"];
        same_bits(&folder, &[&arguments[..], &adjusting].concat(), &[("-o", "out.npy")]);
    }
    for (weights, axis) in [(&second, "all"), (&row, "all"), (&turned, "0,2"), (&row, "0,1")] {
        let arguments =
            ["run", &input, "--op", "logsumexp", "--weights", weights, "--axis", axis, "--device", "cpu"];
        same_bits(&folder, &arguments, &[("-o", "out.npy"), ("--sign", "sign.npy")]);
        let adjusted = [&arguments[..], &["--mask", &mask, "--keepdims"]].concat();
        same_bits(&folder, &adjusted, &[("-o", "out.npy")]);
    }
}

/// Losses of such rows, with gradients and log-probabilities.
#[test]
fn losses_of_rows_larger_than_the_memory() {
    let folder = Folder::new();
    let values = single(1_050_000);
    let shape = [300, 5, 700];
    let half = bytes_of(&values, f16::from_f32, f16::to_le_bytes);
    let input = folder.file("in.npy", &npy::f32_file(&shape, &values));
    let turned = folder.file("turned.npy", &npy::file("<f2", true, &shape, &half));
    let labels = folder.file("labels.npy", &npy::i64_file(&[5], &[7, 209_999, -100, 100_000, 0]));
    let label = folder.file("label.npy", &npy::i64_file(&[], &[1_049_999]));
    let soft: Vec<f32> = (0..1_050_000).map(|place| (place % 11) as f32 / 1e6).collect();
    let soft = folder.file("soft.npy", &npy::f32_file(&shape, &soft));
    let weights: Vec<f32> = (0..210_000).map(|class| (class % 13) as f32 / 7.0).collect();
    let listed = folder.file("listed.npy", &npy::f32_file(&[210_000], &weights));
    let weights = folder.file("weights.npy", &npy::f32_file(&[300, 700], &weights));
    let truth: Vec<bool> = (0..700).map(|place| place % 7 != 3).collect();
    let mask = folder.file("mask.npy", &npy::bool_file(&[700], &truth));
    for (input, axis, targets, reduction) in [
        (&input, "all", &["--labels", &label][..], "mean"),
        (&input, "all", &["--target-probs", &soft, "--temperature", "2"], "none"),
        (&input, "0,2", &["--labels", &labels, "--ignore-index", "-100", "--weights", &weights], "mean"),
        (&turned, "0,2", &["--labels", &labels, "--ignore-index", "-100", "--z-loss", "0.1"], "sum"),
        (&turned, "0,2", &["--target-probs", &soft, "--weights", &listed, "--mask", &mask], "mean"),
        (
            &input,
            "0,2",
            &["--labels", &labels, "--ignore-index", "-100", "--label-smoothing", "0.1", "--mask", &mask],
            "none",
        ),
    ] {
        let arguments = ["run", input, "--axis", axis, "--op", "cross-entropy", "--reduction", reduction];
        let arguments = [&arguments[..], &["--device", "cpu"], targets].concat();
        let outputs = [("-o", "out.npy"), ("--grad", "grad.npy"), ("--log-probs", "logs.safetensors")];
        same_bits(&folder, &arguments, &outputs);
        same_bits(&folder, &arguments, &[("-o", "out.npy")]);
    }
    // No row at all.
    let nothing = folder.file("nothing.npy", &npy::f32_file(&[0, 1 << 20], &[]));
    let none = folder.file("none.npy", &npy::i64_file(&[0], &[]));
    let arguments = ["run", &nothing, "--op", "cross-entropy", "--labels", &none, "--device", "cpu"];
    same_bits(&folder, &arguments, &[("-o", "out.npy")]);
}

/// What needs all of a row at once says so.
#[test]
fn a_row_that_does_not_fit() {
    let folder = Folder::new();
    let input = folder.file("in.npy", &npy::f32_file(&[2, 150_000], &single(300_000)));
    let output = folder.name("out.npy");
    for device in devices() {
        let option = ["--op", if device == "gpu" { "softmax" } else { "jacobian" }];
        let arguments = ["run", &input, "-o", &output, "--memory", TIGHT, "--device", device];
        let error = run(&[&arguments[..], &option].concat()).failed(4);
        for told in ["a row of 150000 classes takes 2.3 MiB", "--memory", "on the CPU"] {
            assert!(error.contains(told), "{error}");
        }
    }
    assert_eq!(folder.names(), ["in.npy"]);
    assert_eq!(run(&["run", &input, "--memory", "12"]).status, 2);
    assert_eq!(run(&["run", &input, "--memory", "much"]).status, 2);
}

#[cfg(target_os = "linux")]
mod linux {
    use std::fs::{self, OpenOptions};
    use std::os::unix::fs::FileExt;
    use std::path::Path;
    use std::process::{Child, Command, Stdio};
    use std::thread::sleep;
    use std::time::{Duration, Instant};

    use super::*;
    use crate::{Ran, program, shell};

    /// A file of f32, all hole but for a number here and there.
    fn hole(folder: &Folder, shape: [usize; 2]) -> String {
        let header = npy::file("<f4", false, &shape, &[]);
        let name = folder.file("in.npy", &header);
        let file = OpenOptions::new().write(true).open(&name).unwrap();
        let bytes = (shape[0] * shape[1] * 4) as u64;
        file.set_len(header.len() as u64 + bytes).unwrap();
        for row in [0, 1, shape[0] / 2, shape[0] - 1] {
            let place = header.len() + row * shape[1] * 4;
            file.write_all_at(&(row as f32 % 7.0 + 1.0).to_le_bytes(), place as u64).unwrap();
        }
        name
    }

    /// With less address space than the array is long.
    #[test]
    fn an_array_larger_than_the_memory() {
        let folder = Folder::new();
        hole(&folder, [1 << 19, 192]);
        let line = "ulimit -v 340000; RAYON_NUM_THREADS=2 exec \"$PROGRAM\" run in.npy --device cpu --memory 16MiB -o out.npy";
        shell(line, folder.path()).succeeded();
        let file = fs::File::open(folder.join("out.npy")).unwrap();
        let start = npy::file("<f4", false, &[1 << 19, 192], &[]).len() as u64;
        assert!(file.metadata().unwrap().len() > 340_000 * 1024);
        for row in [0, 1, 2, 1 << 18, (1 << 19) - 1] {
            let mut bytes = [0; 8];
            file.read_exact_at(&mut bytes, start + row * 192 * 4).unwrap();
            let got = [&bytes[..4], &bytes[4..]].map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap()));
            let first: f64 =
                if [0, 1, 1 << 18, (1 << 19) - 1].contains(&row) { row as f64 % 7.0 + 1.0 } else { 0.0 };
            let sum = first.exp() + 191.0;
            let expected = [(first.exp() / sum) as f32, (1.0 / sum) as f32];
            for (got, expected) in got.into_iter().zip(expected) {
                assert!((got - expected).abs() <= 1e-6 * expected, "{row}: {got} for {expected}");
            }
        }
    }

    /// The same where all of it is one row.
    #[test]
    fn a_row_larger_than_the_memory() {
        let folder = Folder::new();
        hole(&folder, [1 << 19, 192]);
        let line = "ulimit -v 340000; RAYON_NUM_THREADS=2 exec \"$PROGRAM\" run in.npy --axis all --device cpu --memory 16MiB -o out.npy";
        shell(line, folder.path()).succeeded();
        let file = fs::File::open(folder.join("out.npy")).unwrap();
        let start = npy::file("<f4", false, &[1 << 19, 192], &[]).len() as u64;
        let firsts = [0, 1, 1 << 18, (1 << 19) - 1].map(|row: u64| (row, ((row % 7) as f64 + 1.0).exp()));
        let sum = firsts.iter().map(|(_, first)| first).sum::<f64>() + ((192u64 << 19) - 4) as f64;
        for (row, first) in firsts {
            let mut bytes = [0; 8];
            file.read_exact_at(&mut bytes, start + row * 192 * 4).unwrap();
            let got = [&bytes[..4], &bytes[4..]].map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap()));
            for (got, expected) in got.into_iter().zip([(first / sum) as f32, (1.0 / sum) as f32]) {
                assert!((got - expected).abs() <= 1e-6 * expected, "{row}: {got} for {expected}");
            }
        }
    }

    /// The product of such a row's Jacobian with a vector of the same size, over a temperature.
    #[test]
    fn a_product_larger_than_the_memory() {
        let folder = Folder::new();
        hole(&folder, [1 << 19, 192]);
        let line = "ulimit -v 340000; RAYON_NUM_THREADS=2 exec \"$PROGRAM\" run in.npy --op vjp --cotangent in.npy --temperature 2 --axis all --device cpu --memory 16MiB -o out.npy";
        shell(line, folder.path()).succeeded();
        let file = fs::File::open(folder.join("out.npy")).unwrap();
        let start = npy::file("<f4", false, &[1 << 19, 192], &[]).len() as u64;
        let firsts = [0, 1, 1 << 18, (1 << 19) - 1].map(|row: u64| (row, (row % 7) as f64 + 1.0));
        let sum = firsts.iter().map(|(_, x)| (x / 2.0).exp()).sum::<f64>() + ((192u64 << 19) - 4) as f64;
        let product = firsts.iter().map(|(_, x)| (x / 2.0).exp() / sum * x).sum::<f64>();
        for (row, x) in firsts {
            let mut bytes = [0; 8];
            file.read_exact_at(&mut bytes, start + row * 192 * 4).unwrap();
            let got = [&bytes[..4], &bytes[4..]].map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap()));
            let expected = [(x / 2.0).exp() / sum * (x - product) / 2.0, -product / sum / 2.0];
            for (got, expected) in got.into_iter().zip(expected) {
                let error = (f64::from(got) - expected).abs();
                assert!(error <= 2e-6 * expected.abs(), "{row}: {got} for {expected}");
            }
        }
    }

    /// What a GPU's run takes at most, above what the same run of a small array does.
    #[test]
    fn a_gpu_takes_no_more_than_it_may() {
        if !has_adapter() {
            return;
        }
        let peak = |shape: [usize; 2]| {
            let folder = Folder::new();
            let input = hole(&folder, shape);
            let mut child = program()
                .args(["run", &input, "--device", "gpu", "--op", "softmax", "--memory", "64MiB"])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            let mut peak = 0;
            while child.try_wait().unwrap().is_none() {
                peak = peak.max(peak_memory(child.id()));
                sleep(Duration::from_millis(2));
            }
            assert!(child.wait().unwrap().success());
            peak
        };
        let (little, much) = (peak([1 << 10, 192]), peak([1 << 18, 192]));
        assert!(little > 0 && much < little + (64 << 20), "{little} and {much} bytes");
    }

    /// The most memory that a process has had.
    fn peak_memory(process: u32) -> u64 {
        let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kilobytes = line.and_then(|line| line.trim().strip_suffix("kB"));
        kilobytes.map_or(0, |number| number.trim().parse::<u64>().unwrap() * 1024)
    }

    fn start(arguments: &[&str]) -> Child {
        program()
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    fn signal(name: &str, child: &Child) {
        assert!(
            Command::new("kill")
                .args([&format!("-{name}"), &child.id().to_string()])
                .status()
                .unwrap()
                .success()
        );
    }

    /// Waits until so many rows stand in the record.
    fn wait_for_rows(record: &Path, rows: u64, child: &mut Child) {
        wait_for("row", record, rows, child);
    }

    /// Waits until so many rows, or parts of the next one, stand in the record.
    fn wait_for(what: &str, record: &Path, rows: u64, child: &mut Child) {
        let begun = Instant::now();
        loop {
            let done = fs::read(record)
                .ok()
                .and_then(|text| serde_json::from_slice::<serde_json::Value>(&text).ok()?[what].as_u64());
            if done.is_some_and(|done| done >= rows) {
                return;
            }
            assert!(child.try_wait().unwrap().is_none(), "it has ended early");
            assert!(begun.elapsed() < Duration::from_secs(60));
            sleep(Duration::from_millis(1));
        }
    }

    fn done_in(what: &str, record: &Path) -> u64 {
        let record: serde_json::Value = serde_json::from_slice(&fs::read(record).unwrap()).unwrap();
        record[what].as_u64().unwrap()
    }

    /// Killed in the middle of a row that does not fit: its finished pieces are not computed again.
    #[test]
    fn a_killed_run_is_gone_on_with_within_a_row() {
        let folder = Folder::new();
        let input = folder.file("in.npy", &npy::f32_file(&[3_000_000], &single(3_000_000)));
        gone_on_with_within_a_row(&folder, &input, "-o", &[]);
        let mask: Vec<bool> = (0..3_000_000).map(|place| place % 7 != 3).collect();
        let mask = folder.file("mask.npy", &npy::bool_file(&[3_000_000], &mask));
        let more = ["--op", "vjp", "--cotangent", &input, "--mask", &mask, "--temperature", "2"];
        gone_on_with_within_a_row(&folder, &input, "-o", &more);
        let label = folder.file("label.npy", &npy::i64_file(&[], &[77]));
        let more = ["--op", "cross-entropy", "--labels", &label, "--label-smoothing", "0.1"];
        gone_on_with_within_a_row(&folder, &input, "--grad", &more);
        assert_eq!(folder.names(), ["in.npy", "label.npy", "mask.npy", "out.npy", "whole.npy"]);
    }

    fn gone_on_with_within_a_row(folder: &Folder, input: &str, to: &str, more: &[&str]) {
        let (whole, output) = (folder.name("whole.npy"), folder.name("out.npy"));
        let arguments = [&["run", input, "--device", "cpu"], more].concat();
        let plain = run(&[&arguments[..], &[to, &whole, "--json"]].concat()).succeeded().json();
        let lasting = [&arguments[..], &[to, &output, "--memory", TIGHT, "--resume", "--json"]].concat();
        let mut child = start(&lasting);
        let record = folder.join(".wgpu-softmax-out.npy.progress");
        wait_for("part", &record, 1, &mut child);
        signal("KILL", &child);
        child.wait().unwrap();
        let done = done_in("part", &record);
        assert!(done_in("row", &record) == 0 && (1..3_000_000).contains(&done));

        let unfinished = folder.join(".wgpu-softmax-out.npy.unfinished");
        let file = OpenOptions::new().write(true).open(&unfinished).unwrap();
        let start = fs::metadata(&unfinished).unwrap().len() - 3_000_000 * 4;
        file.write_all_at(&[0xab; 8], start).unwrap();
        file.write_all_at(&[0xcd; 8], start + done * 4).unwrap();
        let ran = run(&lasting).succeeded();
        assert!(ran.stderr.contains(&format!("0 rows and {done} classes of the next one")), "{}", ran.stderr);
        let (mut expected, got) = (fs::read(&whole).unwrap(), fs::read(&output).unwrap());
        expected[start as usize..start as usize + 8].fill(0xab);
        assert!(expected == got);
        assert_eq!(ran.json()["loss"], plain["loss"]);
    }

    /// What is mapped is no longer there: an error as any other, and no signal.
    #[test]
    fn an_input_that_becomes_shorter_is_an_error() {
        let folder = Folder::new();
        for more in [&[][..], &["--axis", "all"], &["--resume"]] {
            let (input, output) = (hole(&folder, [1 << 19, 192]), folder.name("out.npy"));
            let arguments = ["run", &input, "--device", "cpu", "--memory", "16MiB", "-o", &output];
            let mut child = start(&[&arguments[..], more].concat());
            let begun = Instant::now();
            while folder.names() == ["in.npy"] {
                assert!(child.try_wait().unwrap().is_none(), "it has ended early");
                assert!(begun.elapsed() < Duration::from_secs(60));
                sleep(Duration::from_millis(1));
            }
            OpenOptions::new().write(true).open(&input).unwrap().set_len(5000).unwrap();
            let ran = Ran::from(child.wait_with_output().unwrap());
            assert_eq!(ran.status, 3, "{}", ran.stderr);
            assert!(ran.stderr.contains("became shorter while it was read"), "{}", ran.stderr);
            assert!(!folder.join("out.npy").exists());
            assert!(more == ["--resume"] || folder.names() == ["in.npy"]);
            for name in folder.names() {
                fs::remove_file(folder.join(&name)).unwrap();
            }
        }
    }

    /// Killed in the middle: what is finished is not computed again, what is not is.
    #[test]
    fn a_killed_run_is_gone_on_with() {
        let folder = Folder::new();
        let input = folder.file("in.npy", &npy::f32_file(&[60_000, 50], &single(3_000_000)));
        let whole = folder.name("whole.npy");
        let output = folder.file("out.npy", b"what was there");
        let labels: Vec<i64> = (0..60_000).map(|row| row % 50).collect();
        let labels = folder.file("labels.npy", &npy::i64_file(&[60_000], &labels));
        let arguments = [
            "run",
            &input,
            "--op",
            "cross-entropy",
            "--labels",
            &labels,
            "--device",
            "cpu",
            "--memory",
            TIGHT,
        ];
        let plain = run(&[&arguments[..], &["--grad", &whole, "--json"]].concat()).succeeded().json();

        let lasting = [&arguments[..], &["--grad", &output, "--resume"]].concat();
        let mut child = start(&lasting);
        let record = folder.join(".wgpu-softmax-out.npy.progress");
        wait_for_rows(&record, 1, &mut child);
        signal("KILL", &child);
        child.wait().unwrap();
        assert_eq!(fs::read(&output).unwrap(), b"what was there");
        let done = done_in("row", &record);
        assert!((1..60_000).contains(&done));

        // What is told to be done is left alone, and what is not is not trusted: both show in the file.
        let unfinished = folder.join(".wgpu-softmax-out.npy.unfinished");
        let file = OpenOptions::new().write(true).open(&unfinished).unwrap();
        let start = fs::metadata(&unfinished).unwrap().len() - 60_000 * 50 * 4;
        file.write_all_at(&[0xab; 8], start).unwrap();
        file.write_all_at(&[0xcd; 8], start + done * 50 * 4).unwrap();
        let ran = run(&[&lasting[..], &["--json"]].concat()).succeeded();
        assert!(ran.stderr.contains(&format!("{done} rows of which are done")), "{}", ran.stderr);
        let (mut expected, got) = (fs::read(&whole).unwrap(), fs::read(&output).unwrap());
        expected[start as usize..start as usize + 8].fill(0xab);
        assert!(expected == got);
        // The loss goes on to the last bit, too.
        assert_eq!(ran.json()["loss"], plain["loss"]);
        assert_eq!(folder.names(), ["in.npy", "labels.npy", "out.npy", "whole.npy"]);
    }

    /// Another input or other options: from the beginning, and it says so.
    #[test]
    fn an_unfinished_result_of_something_else() {
        let folder = Folder::new();
        let values = single(3_000_000);
        let input = folder.file("in.npy", &npy::f32_file(&[60_000, 50], &values));
        let (output, whole) = (folder.name("out.npy"), folder.name("whole.npy"));
        let record = folder.join(".wgpu-softmax-out.npy.progress");
        let arguments = |output: &str| {
            ["run", &input, "--device", "cpu", "--memory", TIGHT, "-o", output].map(str::to_string)
        };
        let [resuming, plain] = [&output, &whole].map(|output| arguments(output));
        let resuming: Vec<&str> = resuming.iter().map(String::as_str).chain(["--resume"]).collect();
        let plain: Vec<&str> = plain.iter().map(String::as_str).collect();
        let leave_some = || {
            let mut child = start(&resuming);
            wait_for_rows(&record, 1, &mut child);
            signal("KILL", &child);
            child.wait().unwrap();
        };
        leave_some();
        let ran = run(&[&resuming[..], &["--temperature", "2"]].concat()).succeeded();
        assert!(
            ran.stderr.contains("starting over") && ran.stderr.contains("other options"),
            "{}",
            ran.stderr
        );
        run(&[&plain[..], &["--temperature", "2"]].concat()).succeeded();
        assert!(fs::read(&output).unwrap() == fs::read(&whole).unwrap());

        leave_some();
        // Of the same length, at the same time of day.
        let before = fs::metadata(&input).unwrap().modified().unwrap();
        let changed: Vec<f32> = values.iter().rev().copied().collect();
        fs::write(&input, npy::f32_file(&[60_000, 50], &changed)).unwrap();
        OpenOptions::new().write(true).open(&input).unwrap().set_modified(before).unwrap();
        let ran = run(&resuming).succeeded();
        assert!(ran.stderr.contains("its input has changed since"), "{}", ran.stderr);
        run(&plain).succeeded();
        assert!(fs::read(&output).unwrap() == fs::read(&whole).unwrap());

        for damage in [&b"{"[..], b"", b"{\"row\": 7}"] {
            fs::write(&record, damage).unwrap();
            let ran = run(&resuming).succeeded();
            assert!(ran.stderr.contains("damaged"), "{}", ran.stderr);
        }
        for (arguments, reason) in [
            (&["run", &input, "--resume"][..], "add -o"),
            (&["run", &input, "--resume", "-o", "-"], "standard output is none"),
            (&["run", "/dev/stdin", "--resume", "-o", &output], "cannot read /dev/stdin"),
        ] {
            let ran = run(arguments);
            assert!(matches!(ran.status, 2 | 3) && ran.stderr.contains(reason), "{}", ran.stderr);
        }
        assert_eq!(folder.names(), ["in.npy", "out.npy", "whole.npy"]);
    }

    /// Cancelled where nothing is kept and where something is, and while it waits for its input.
    #[test]
    fn control_c_leaves_nothing_half_done() {
        let folder = Folder::new();
        let input = folder.file("in.npy", &npy::f32_file(&[60_000, 50], &single(3_000_000)));
        let output = folder.name("out.npy");
        let arguments = ["run", &input, "--device", "cpu", "--memory", TIGHT, "-o", &output];
        let record = folder.join(".wgpu-softmax-out.npy.progress");

        let mut child = start(&arguments);
        let begun = Instant::now();
        while folder.names().len() == 1 && child.try_wait().unwrap().is_none() {
            assert!(begun.elapsed() < Duration::from_secs(60));
        }
        signal("INT", &child);
        let ran = Ran::from(child.wait_with_output().unwrap());
        // It may have been done already.
        if ran.status == 0 {
            fs::remove_file(&output).unwrap();
        } else {
            assert_eq!(ran.status, 130, "{}", ran.stderr);
            assert!(ran.stderr.contains("cancelled: nothing is written"), "{}", ran.stderr);
        }
        assert_eq!(folder.names(), ["in.npy"]);

        let mut child = start(&[&arguments[..], &["--resume"]].concat());
        wait_for_rows(&record, 1, &mut child);
        signal("INT", &child);
        let ran = Ran::from(child.wait_with_output().unwrap());
        assert_eq!(ran.status, 130, "{}", ran.stderr);
        assert!(ran.stderr.contains("goes on with it"), "{}", ran.stderr);
        assert_eq!(
            folder.names(),
            [".wgpu-softmax-out.npy.progress", ".wgpu-softmax-out.npy.unfinished", "in.npy"]
        );

        // Nobody ever writes to its input.
        let mut child = program()
            .args(["run", "-", "-o", &folder.name("never.npy")])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let begun = Instant::now();
        while !handles_interrupts(&child) {
            assert!(begun.elapsed() < Duration::from_secs(60));
        }
        signal("INT", &child);
        while child.try_wait().unwrap().is_none() {
            assert!(begun.elapsed() < Duration::from_secs(60));
            sleep(Duration::from_millis(10));
        }
        assert_eq!(child.wait().unwrap().code(), Some(130));
        assert!(!folder.join("never.npy").exists());
    }

    /// Whether a process has its own way with the signal.
    fn handles_interrupts(child: &Child) -> bool {
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).map(str::trim);
        caught.is_some_and(|mask| u64::from_str_radix(mask, 16).unwrap() & 0b10 != 0)
    }

    /// Two runs that write the same result do not write into each other's.
    #[test]
    fn one_run_at_a_time() {
        let folder = Folder::new();
        let input = folder.file("in.npy", &npy::f32_file(&[2, 3], &[0.0; 6]));
        let unfinished = folder.file(".wgpu-softmax-out.npy.unfinished", b"");
        let held = OpenOptions::new().write(true).open(&unfinished).unwrap();
        held.try_lock().unwrap();
        let arguments = ["run", &input, "--resume", "-o", &folder.name("out.npy"), "--device", "cpu"];
        let error = run(&arguments).failed(5);
        assert!(error.contains("another run is at it"), "{error}");
        drop(held);
        run(&arguments).succeeded();
    }

    /// The disk takes the first kilobytes and no more: the error names the part, which stays only where that was asked.
    #[test]
    fn a_full_disk_names_the_part() {
        let folder = Folder::new();
        folder.file("in.npy", &npy::f32_file(&[300, 100], &single(30_000)));
        let full = "trap '' XFSZ; ulimit -f 8; exec \"$PROGRAM\" run in.npy --device cpu -o out.npy";
        let error = shell(full, folder.path()).failed(5);
        assert!(error.contains(".unfinished, is removed"), "{error}");
        assert_eq!(folder.names(), ["in.npy"]);
        let error = shell(&format!("{full} --resume"), folder.path()).failed(5);
        assert!(error.contains(".wgpu-softmax-out.npy.unfinished, stays for --resume"), "{error}");
        assert!(folder.join(".wgpu-softmax-out.npy.unfinished").exists());
        run(&["run", &folder.name("in.npy"), "--device", "cpu", "-o", &folder.name("out.npy"), "--resume"])
            .succeeded();
        assert_eq!(folder.names(), ["in.npy", "out.npy"]);
    }
}
