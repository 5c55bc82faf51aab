//! Files of tensors: bf16, several tensors in one file, and files that are damaged. The format is written and
//! read by hand here.

use half::{bf16, f16};

use crate::{Folder, npy, reference, run, run_with_input};

/// A tensor's name, type, shape and bytes.
pub struct Tensor<'a>(pub &'a str, pub &'a str, pub &'a [usize], pub Vec<u8>);

/// A file of tensors, one after the other.
pub fn file(tensors: &[Tensor<'_>]) -> Vec<u8> {
    let mut end = 0;
    let entries: Vec<String> = (tensors.iter())
        .map(|Tensor(name, dtype, shape, data)| {
            let start = end;
            end += data.len();
            format!("{name:?}:{{\"dtype\":{dtype:?},\"shape\":{shape:?},\"data_offsets\":[{start},{end}]}}")
        })
        .collect();
    let mut file = with_header(&format!("{{{}}}", entries.join(",")));
    tensors.iter().for_each(|Tensor(.., data)| file.extend(data));
    file
}

/// The header's length, and any text for the header.
fn with_header(header: &str) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes()].concat()
}

/// bf16, in the type's bytes.
pub fn bf16_bytes(values: &[f64]) -> Vec<u8> {
    values.iter().flat_map(|&value| bf16::from_f64(value).to_le_bytes()).collect()
}

/// What the program wrote: the one tensor's name, type, shape and values.
#[track_caller]
pub fn parse(file: &[u8]) -> (String, npy::Array) {
    let length = u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
    assert_eq!(length % 8, 0);
    let header: serde_json::Value = serde_json::from_slice(&file[8..8 + length]).unwrap();
    let tensors = header.as_object().unwrap();
    assert_eq!(tensors.len(), 1);
    let (name, tensor) = tensors.iter().next().unwrap();
    let data = &file[8 + length..];
    assert_eq!(tensor["data_offsets"], serde_json::json!([0, data.len()]));
    let shape = (tensor["shape"].as_array().unwrap().iter())
        .map(|length| length.as_u64().unwrap() as usize)
        .collect::<Vec<_>>();
    let dtype = tensor["dtype"].as_str().unwrap();
    let values: Vec<f64> = match dtype {
        "F16" => data.chunks(2).map(|b| f16::from_le_bytes(b.try_into().unwrap()).to_f64()).collect(),
        "BF16" => data.chunks(2).map(|b| bf16::from_le_bytes(b.try_into().unwrap()).to_f64()).collect(),
        "F32" => data.chunks(4).map(|b| f32::from_le_bytes(b.try_into().unwrap()).into()).collect(),
        "F64" => data.chunks(8).map(|b| f64::from_le_bytes(b.try_into().unwrap())).collect(),
        _ => panic!("{dtype}"),
    };
    assert_eq!(values.len(), shape.iter().product::<usize>());
    (name.clone(), npy::Array { descr: dtype.to_string(), shape, values })
}

#[test]
fn every_type_comes_in_and_floats_go_out() {
    let folder = Folder::new();
    let numbers = [3i8, 2, 5, 0, 1, 7];
    let wide = numbers.map(f64::from);
    let bytes =
        |of: &dyn Fn(i8) -> Vec<u8>| numbers.iter().flat_map(|&number| of(number)).collect::<Vec<u8>>();
    for (dtype, data, result) in [
        ("I8", bytes(&|n| n.to_le_bytes().to_vec()), "F64"),
        ("I16", bytes(&|n| i16::from(n).to_le_bytes().to_vec()), "F64"),
        ("I32", bytes(&|n| i32::from(n).to_le_bytes().to_vec()), "F64"),
        ("I64", bytes(&|n| i64::from(n).to_le_bytes().to_vec()), "F64"),
        ("U8", bytes(&|n| (n as u8).to_le_bytes().to_vec()), "F64"),
        ("U16", bytes(&|n| (n as u16).to_le_bytes().to_vec()), "F64"),
        ("U32", bytes(&|n| (n as u32).to_le_bytes().to_vec()), "F64"),
        ("U64", bytes(&|n| (n as u64).to_le_bytes().to_vec()), "F64"),
        ("F16", bytes(&|n| f16::from_f32(n.into()).to_le_bytes().to_vec()), "F16"),
        ("BF16", bytes(&|n| bf16::from_f32(n.into()).to_le_bytes().to_vec()), "BF16"),
        ("F32", bytes(&|n| f32::from(n).to_le_bytes().to_vec()), "F32"),
        ("F64", bytes(&|n| f64::from(n).to_le_bytes().to_vec()), "F64"),
    ] {
        let input = folder.file("in.safetensors", &file(&[Tensor("x", dtype, &[2, 3], data)]));
        let output = folder.name("out.safetensors");
        run(&["run", &input, "-o", &output, "--device", "cpu"]).succeeded();
        let (name, tensor) = parse(&std::fs::read(output).unwrap());
        assert_eq!(
            (name.as_str(), tensor.descr.as_str(), &tensor.shape[..]),
            ("result", result, &[2, 3][..])
        );
        let expected = reference::compute("softmax", &wide, &[2, 3], &[1]);
        reference::assert_close(&tensor.values, &expected, result);
    }
    let truths = file(&[Tensor("x", "BOOL", &[3], vec![1, 0, 1])]);
    let input = folder.file("in.safetensors", &truths);
    let facts = run(&["run", &input, "--json", "--op", "logsumexp"]).succeeded().json();
    assert_eq!(facts["input"]["dtype"], "bool");
}

#[test]
fn a_tensor_is_named_where_there_are_several() {
    let folder = Folder::new();
    let singles = |values: &[f32]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>();
    let two = file(&[
        Tensor("layer.0: bias", "F32", &[2], singles(&[6.0, 3.0])),
        Tensor("logits", "BF16", &[1, 2], bf16_bytes(&[1.0, 1.0])),
    ]);
    let input = folder.file("in.safetensors", &two);
    let output = folder.name("out.safetensors");
    let (from, to) = (format!("{input}:layer.0: bias"), format!("{output}:new: name"));
    run(&["run", &from, "-o", &to]).succeeded();
    let (name, tensor) = parse(&std::fs::read(&output).unwrap());
    assert_eq!((name.as_str(), &tensor.shape[..]), ("new: name", &[2][..]));
    assert!((tensor.values[0] - 0.952_574_13).abs() < 1e-7);
    let ran = run(&["run", &format!("{input}:logits"), "--json"]).succeeded();
    assert_eq!(ran.json()["input"]["path"], format!("{input}:logits"));
    assert_eq!(ran.json()["first_rows"][0]["value"], 0.5);

    let error = run(&["run", &input]).failed(3);
    assert!(error.contains("2 tensors") && error.contains("layer.0: bias, logits"), "{error}");
    let error = run(&["run", &format!("{input}:weights")]).failed(3);
    assert!(error.contains("no tensor named weights; there is layer.0: bias, logits"), "{error}");
    assert_eq!(run(&["run", &format!("{input}:")]).status, 2);
    let error = run(&["run", &folder.file("none.safetensors", &with_header("{}"))]).failed(3);
    assert!(error.contains("holds no tensor"), "{error}");
}

/// From pipes too, where nobody can seek.
#[cfg(unix)]
#[test]
fn a_pipe_of_tensors() {
    let folder = Folder::new();
    let two =
        file(&[Tensor("first", "U8", &[70_000], vec![7; 70_000]), Tensor("second", "U8", &[2], vec![6, 3])]);
    folder.file("in.safetensors", &two);
    for line in [
        "mkfifo p.safetensors; cat in.safetensors > p.safetensors & exec \"$PROGRAM\" run p.safetensors:second --json",
        "mkfifo q.safetensors; head -c 60000 in.safetensors > q.safetensors & exec \"$PROGRAM\" run q.safetensors:second",
    ] {
        let ran = crate::shell(line, folder.path());
        match line.contains("head") {
            false => assert_eq!(ran.succeeded().json()["first_rows"][0]["class"], 0),
            true => assert!(ran.failed(3).contains("cut off")),
        }
    }
}

#[test]
fn bf16_lives_here_alone() {
    let folder = Folder::new();
    let input = folder.file("in.safetensors", &file(&[Tensor("x", "BF16", &[2], bf16_bytes(&[0.0, 1.0]))]));
    for (arguments, asked) in [
        (&["run", &input, "-o", "out.npy"][..], false),
        (&["run", &input, "-o", "-"], false),
        (&["run", &input, "-o", "out.npy", "--dtype", "bf16"], true),
        (&["run", "nowhere.npy", "-o", "-", "--dtype", "bf16"], true),
    ] {
        let ran = run(arguments);
        assert_eq!((ran.status, ran.stderr.contains("Usage")), (2, asked), "{}", ran.stderr);
        assert!(ran.stderr.contains(".safetensors"), "{}", ran.stderr);
    }
    let array = npy::parse(&run(&["run", &input, "-o", "-", "--dtype", "f32"]).succeeded().stdout);
    assert_eq!((array.descr.as_str(), array.shape.len()), ("<f4", 1));
    let summary = run(&["run", &input]).succeeded();
    assert!(summary.text().contains("2 bf16"), "{}", summary.text());
}

#[track_caller]
fn refused(bytes: &[u8], reason: &str) {
    let folder = Folder::new();
    let input = folder.file("in.safetensors", bytes);
    let error = run(&["run", &input, "-o", &folder.name("out.npy"), "--device", "cpu"]).failed(3);
    assert!(error.contains(reason) && error.contains(&input), "{error}");
    assert_eq!(folder.names(), ["in.safetensors"]);
}

#[test]
fn files_that_are_damaged_or_something_else() {
    let whole = file(&[Tensor("x", "F32", &[2, 3], vec![0; 24])]);
    refused(b"", "it is empty");
    refused(b"1234", "cut off");
    refused(&npy::f32_file(&[2], &[0.0; 2]), "it is no .safetensors file");
    refused(&whole[..40], "cut off");
    refused(&whole[..whole.len() - 1], "24 bytes of data, and there are 23: it is cut off");
    refused(&[&whole[..], &[0]].concat(), "after its array");
    refused(&u64::MAX.to_le_bytes(), "it is no .safetensors file");
    refused(&[&99_999_999u64.to_le_bytes()[..], b"{}"].concat(), "cut off");
    refused(&with_header("not json"), "header is damaged");
    refused(&with_header(&"[".repeat(100_000)), "header is damaged");
    refused(
        &with_header("{\"x\":{\"dtype\":\"F9\",\"shape\":[1],\"data_offsets\":[0,4]}}"),
        "header is damaged",
    );
    let claim = "{\"x\":{\"dtype\":\"F32\",\"shape\":[SHAPE],\"data_offsets\":[0,24]}}";
    for shape in ["5", "-6", "6.0", "4294967296,4294967296", "\"6\""] {
        refused(&[&with_header(&claim.replace("SHAPE", shape))[..], &[0; 24]].concat(), "header is damaged");
    }
    let empty = "{\"x\":{\"dtype\":\"F32\",\"shape\":[0,4294967296,4294967296],\"data_offsets\":[0,0]}}";
    refused(&with_header(empty), "more elements than any memory holds");
    let terabytes =
        "{\"x\":{\"dtype\":\"F32\",\"shape\":[1099511627776],\"data_offsets\":[0,4398046511104]}}";
    refused(&with_header(terabytes), "cut off");
    refused(&file(&[Tensor("x", "F8_E4M3", &[2], vec![0; 2])]), "of type F8_E4M3");
    refused(&file(&[Tensor("x", "C64", &[1], vec![0; 8])]), "of type C64");
    refused(&file(&[Tensor("x", "BOOL", &[2], vec![1, 7])]), "no bool");
    refused(&file(&[Tensor("x", "U8", &[1; 65], vec![1])]), "65 dimensions");
}

/// Any byte of the header changed: an answer of some kind, and never a crash.
#[test]
fn bytes_changed_here_and_there() {
    let folder = Folder::new();
    let whole = file(&[Tensor("x", "F32", &[2, 3], vec![0; 24])]);
    for place in 0..whole.len() - 24 {
        let mut changed = whole.clone();
        changed[place] ^= 0x11;
        let input = folder.file("in.safetensors", &changed);
        let ran = run(&["run", &input, "--device", "cpu"]);
        assert!(matches!(ran.status, 0 | 3), "{place}: {}", ran.stderr);
    }
}

#[test]
fn standard_streams_are_npy() {
    let ran = run_with_input(&["run", "-"], &file(&[Tensor("x", "U8", &[1], vec![1])]));
    assert!(ran.failed(3).contains("not a .npy file"));
}
