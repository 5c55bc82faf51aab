//! f16 and bf16 in and out, and every mixture of them with wider types.

use half::{bf16, f16};

use crate::safetensors::{self, Tensor};
use crate::{Folder, devices, has_adapter, npy, reference, run};

/// The numbers as a type holds them.
fn held(dtype: &str, values: &[f64]) -> Vec<f64> {
    values
        .iter()
        .map(|&value| match dtype {
            "f16" => f16::from_f32(value as f32).to_f64(),
            "bf16" => bf16::from_f32(value as f32).to_f64(),
            "f32" => f64::from(value as f32),
            _ => value,
        })
        .collect()
}

fn tensor(dtype: &str, shape: &[usize], values: &[f64]) -> Vec<u8> {
    let bytes = |of: &dyn Fn(f64) -> Vec<u8>| values.iter().flat_map(|&value| of(value)).collect::<Vec<u8>>();
    let (name, data) = match dtype {
        "f16" => ("F16", bytes(&|value| f16::from_f64(value).to_le_bytes().to_vec())),
        "bf16" => ("BF16", bytes(&|value| bf16::from_f64(value).to_le_bytes().to_vec())),
        "f32" => ("F32", bytes(&|value| (value as f32).to_le_bytes().to_vec())),
        _ => ("F64", bytes(&|value| value.to_le_bytes().to_vec())),
    };
    safetensors::file(&[Tensor("x", name, shape, data)])
}

/// Odd numbers of classes, so that rows share the words they are packed in.
#[test]
fn any_type_in_and_any_type_out() {
    let folder = Folder::new();
    let shape = [5, 7];
    for given in ["f16", "bf16", "f32", "f64"] {
        let stored = held(given, &held("f32", &reference::logits(35)));
        let input = folder.file("in.safetensors", &tensor(given, &shape, &stored));
        for asked in ["f16", "bf16", "f32", "f64"] {
            // What is wider than the result is rounded to it first.
            let bytes = |dtype: &str| {
                ["f16", "bf16", "f32", "f64"].iter().position(|&name| name == dtype).unwrap() / 2
            };
            let wider = given == "f64" && asked != "f64" || bytes(given) > bytes(asked);
            let meant = if wider { held(asked, &stored) } else { stored.clone() };
            let ops = ["softmax", "log-softmax", "logsumexp"];
            // No GPU computes in f64.
            let devices = devices().iter().filter(|device| **device == "cpu" || asked != "f64");
            for (&device, op) in devices.flat_map(|device| ops.map(|op| (device, op))) {
                let output = folder.name("out.safetensors");
                run(&["run", &input, "-o", &output, "--op", op, "--dtype", asked, "--device", device])
                    .succeeded();
                let (_, result) = safetensors::parse(&std::fs::read(output).unwrap());
                assert_eq!(result.descr, asked.to_uppercase());
                let expected = reference::compute(op, &meant, &shape, &[1]);
                reference::assert_close(&result.values, &expected, &result.descr);
            }
        }
    }
}

/// The place of a number of 16 bits among all of its type.
fn rank(descr: &str, value: f64) -> i32 {
    let bits = if descr == "F16" { f16::from_f64(value).to_bits() } else { bf16::from_f64(value).to_bits() };
    let magnitude = i32::from(bits & 0x7fff);
    if bits >> 15 == 1 { -magnitude } else { magnitude }
}

/// A GPU reads and writes 16 bits itself. Both devices are within a unit of what is right, and of each other.
#[test]
fn a_gpu_and_the_cpu_are_one_unit_apart_at_most() {
    if !has_adapter() {
        return;
    }
    let folder = Folder::new();
    for (dtype, shape, axis) in [("f16", [3, 1001], "1"), ("bf16", [3, 1001], "1"), ("f16", [77, 5], "0")] {
        let values = held(dtype, &reference::logits(shape[0] * shape[1]));
        let input = folder.file("in.safetensors", &tensor(dtype, &shape, &values));
        for op in ["softmax", "log-softmax", "logsumexp"] {
            let [gpu, cpu] = ["gpu", "cpu"].map(|device| {
                let output = folder.name("out.safetensors");
                let arguments = ["run", &input, "-o", &output, "--op", op, "--axis", axis];
                let ran = run(&[&arguments[..], &["--device", device, "--json"]].concat()).succeeded();
                assert_eq!(ran.json()["device"]["kind"], device);
                safetensors::parse(&std::fs::read(output).unwrap()).1
            });
            assert_eq!((&gpu.descr, &gpu.shape), (&cpu.descr, &cpu.shape));
            assert_eq!(gpu.descr, dtype.to_uppercase());
            for (gpu_value, cpu_value) in gpu.values.iter().zip(&cpu.values) {
                let apart = rank(&gpu.descr, *gpu_value) - rank(&gpu.descr, *cpu_value);
                assert!(apart.abs() <= 1, "{op} in {dtype}: {gpu_value} {cpu_value}");
            }
        }
    }
}

/// An f64 number beside a tie of f16, which rounding twice would take for the tie.
#[test]
fn wide_numbers_are_rounded_once() {
    let folder = Folder::new();
    let beside = 1.0 + 2f64.powi(-11) + 2f64.powi(-40);
    let input = folder.file("in.npy", &npy::f64_file(&[1], &[beside]));
    let output = folder.name("out.npy");
    run(&["run", &input, "-o", &output, "--op", "logsumexp", "--dtype", "f16", "--device", "cpu"])
        .succeeded();
    assert_eq!(npy::parse(&std::fs::read(output).unwrap()).values, [1.0 + 2f64.powi(-10)]);
}

/// The loss and its gradient in f16, from vectors of other types.
#[test]
fn a_loss_and_a_product_of_mixed_types() {
    let folder = Folder::new();
    let logits = held("f16", &reference::logits(15));
    let input = folder.file("in.safetensors", &tensor("f16", &[3, 5], &logits));
    let cotangent = held("bf16", &reference::logits(15));
    let vector = folder.file("v.safetensors", &tensor("bf16", &[3, 5], &cotangent));
    let labels = folder.file("labels.npy", &npy::i64_file(&[3], &[4, 0, 2]));
    let everything = [true; 5];
    let types = [(None, "<f2"), (Some("f32"), "<f4")];
    for (&device, (asked, descr)) in devices().iter().flat_map(|device| types.map(|types| (device, types))) {
        let (output, gradient) = (folder.name("out.npy"), folder.name("gradient.npy"));
        let dtype: Vec<&str> = asked.map(|asked| vec!["--dtype", asked]).unwrap_or_default();
        let product =
            ["run", &input, "-o", &output, "--op", "vjp", "--cotangent", &vector, "--device", device];
        run(&[&product[..], &dtype].concat()).succeeded();
        let result = npy::parse(&std::fs::read(&output).unwrap());
        assert_eq!(result.descr, descr);
        for row in 0..3 {
            let p = reference::softmax(&logits[5 * row..][..5], &everything);
            let v = &cotangent[5 * row..][..5];
            let mean: f64 = p.iter().zip(v).map(|(p, v)| p * v).sum();
            let expected: Vec<f64> = p.iter().zip(v).map(|(p, v)| p * (v - mean)).collect();
            for (actual, expected) in result.values[5 * row..][..5].iter().zip(expected) {
                // 40 units of what is computed in, of p·max|v| where both are at their greatest; and the rounding.
                let rounding = if descr == "<f2" { 2f64.powi(-11) * expected.abs() } else { 0.0 };
                let bound = 40.0 * 2f64.powi(-24) * 8.0 + rounding;
                assert!((actual - expected).abs() <= bound, "{actual} {expected}");
            }
        }

        let loss =
            ["run", &input, "-o", &output, "--op", "cross-entropy", "--labels", &labels, "--grad", &gradient];
        run(&[&loss[..], &["--reduction", "sum", "--device", device], &dtype].concat()).succeeded();
        let (loss, gradient) = (std::fs::read(&output).unwrap(), std::fs::read(&gradient).unwrap());
        let (loss, gradient) = (npy::parse(&loss), npy::parse(&gradient));
        assert_eq!((loss.descr.as_str(), loss.shape.len(), gradient.descr.as_str()), (descr, 0, descr));
        let rows = logits.chunks(5).zip([4, 0, 2]);
        let expected: f64 =
            rows.clone().map(|(row, y)| reference::log_sum_exp(row, &everything) - row[y]).sum();
        reference::assert_close(&loss.values, &[expected], descr);
        let expected: Vec<f64> = rows
            .flat_map(|(row, y)| {
                let p = reference::softmax(row, &everything).into_iter().enumerate();
                p.map(move |(class, p)| p - f64::from(u8::from(class == y))).collect::<Vec<_>>()
            })
            .collect();
        reference::assert_close(&gradient.values, &expected, descr);
    }
}
