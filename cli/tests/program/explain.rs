//! `explain`: the plan in words, for the device that would run it.

use crate::{VULKAN_ALONE, has_adapter, run, without_adapters};

#[track_caller]
fn explained(arguments: &[&str]) -> String {
    let ran = run(&[&["explain"], arguments].concat()).succeeded();
    assert!(ran.stderr.is_empty(), "{}", ran.stderr);
    ran.text().to_string()
}

#[test]
fn the_plan_of_a_gpu() {
    if !has_adapter() {
        return;
    }
    let long = explained(&["4096x50257", "--device", "gpu"]);
    for part in ["4096 rows of 50257 classes", "f32", "kernel", "since", "split_row", "memory", "because"] {
        assert!(long.contains(part), "{part}\n{long}");
    }
    assert!(explained(&["64x1000", "--device", "gpu", "--op", "logsumexp"]).contains("logsumexp of 64 rows"));
    let columns = explained(&["2x12x64x64", "--axis", "-2", "--device", "gpu"]);
    assert!(columns.contains("lane_per_column") && columns.contains("1536 rows of 64 classes"), "{columns}");
    let apart = explained(&["2x12x64x64", "--axis", "0,2", "--device", "gpu"]);
    assert!(apart.contains("not adjacent") && apart.contains("768 rows of 128 classes"), "{apart}");
    let whole = explained(&["2x3x4", "--axis", "all", "--device", "gpu"]);
    assert!(whole.contains("over the whole array: 1 row of 24 classes"), "{whole}");
    for (op, dtype, moved) in [
        ("vjp", "f32", "11.7 KiB at the least"),
        ("vjp", "f16", "5.9 KiB at the least"),
        ("jacobian", "bf16", "197.3 KiB at the least"),
        // A value for each row is f32, and so is one beside the gradient.
        ("cross-entropy", "f32", "4.0 KiB at the least"),
        ("cross-entropy", "bf16", "2.0 KiB at the least"),
        ("cross-entropy-gradient", "f32", "7.9 KiB at the least"),
    ] {
        let text = explained(&["10x100", "--device", "gpu", "--op", op, "--dtype", dtype]);
        let named = format!("\n{op} of 10 rows of 100 classes in {dtype}\n");
        assert!(text.contains(&named) && text.contains(moved) && text.contains(" moved, "), "{text}");
    }
    let error = run(&["explain", "4x5", "--device", "gpu", "--dtype", "f64"]).failed(4);
    assert!(error.contains("f64"), "{error}");
}

#[test]
fn the_cpu_and_what_a_gpu_would_do() {
    let cpu = explained(&["4096x50257", "--device", "cpu"]);
    assert!(
        cpu.contains("because it was asked for") && cpu.contains("1.5 GiB") && !cpu.contains("split_row"),
        "{cpu}"
    );
    let wide = explained(&["4096x50257", "--dtype", "f64"]);
    assert!(wide.contains("GPUs do not compute in f64") && wide.contains("3.1 GiB"), "{wide}");
    if VULKAN_ALONE {
        let arguments = ["explain", "4096x50257", "--precision", "fast"];
        let auto = without_adapters(&arguments).succeeded();
        assert!(auto.text().contains("there is no GPU adapter"));
        assert!(
            auto.text().contains("WebGPU's default limits would do this")
                && auto.text().contains("split_row")
        );
        let huge = without_adapters(&["explain", "4294967295x500000000"]).succeeded();
        assert!(huge.text().contains("could not do it"), "{}", huge.text());
    }
}

#[test]
fn shapes_of_every_kind() {
    for shape in ["1", "0", "0x10", "10x0", "1x1x1x1x1x1x1", "65536x2", "1000000007", "3X4", "3×4"] {
        for op in [
            "softmax",
            "logsumexp",
            "log-softmax-vjp",
            "signed-logsumexp",
            "cross-entropy",
            "cross-entropy-gradient",
        ] {
            explained(&[shape, "--op", op, "--device", "cpu"]);
        }
    }
    let error = run(&["explain", "4x5", "--axis", "2"]).failed(3);
    assert!(error.contains("from -2 to 1"), "{error}");
    run(&["explain", "4x5", "--axis", "1,-1"]).failed(3);
}

#[test]
fn what_is_read_and_written() {
    let bytes = |arguments: &[&str]| explained(&[&["1048576x16", "--device", "cpu"], arguments].concat());
    assert!(bytes(&["--dtype", "bf16"]).contains("64.0 MiB at the least"));
    assert!(bytes(&["--dtype", "f32", "--op", "vjp"]).contains("192.0 MiB at the least"));
    // The logits, a label of 8 bytes a row, a loss a row.
    assert!(bytes(&["--dtype", "f32", "--op", "cross-entropy"]).contains("76.0 MiB at the least"));
    // And the gradient.
    let gradient = ["--dtype", "f32", "--op", "cross-entropy-gradient"];
    assert!(bytes(&gradient).contains("140.0 MiB at the least"));
}
