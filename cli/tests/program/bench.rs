//! `bench`: what may be asked for, the keys of its lines, and what it does where a device is missing. Never how fast
//! anything is.

use std::collections::BTreeSet;

use crate::{Folder, VULKAN_ALONE, has_adapter, run, without_adapters};

/// One call of each case, so that nothing takes long.
fn bench(arguments: &[&str]) -> crate::Ran {
    run(&[&["bench", "--repeats", "1"], arguments].concat())
}

fn rows(ran: &crate::Ran) -> Vec<serde_json::Value> {
    ran.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn of_peer<'a>(rows: &'a [serde_json::Value], peer: &str) -> Vec<&'a serde_json::Value> {
    rows.iter().filter(|row| row["peer"] == peer).collect()
}

#[test]
fn a_wrong_command_line() {
    const LINES: [&str; 3] = ["--lines", "--mode", "cpu"];
    for (arguments, said) in [
        (&["--ops", "softmin"][..], "softmin"),
        (&["--ops", "softmax,"], "--ops"),
        (&["--ops", "weighted-logsumexp"], "weighted-logsumexp"),
        (&["--shapes", "4096"], "4096"),
        (&["--shapes", "2x3x4"], "rows and classes"),
        (&["--shapes", "4x0"], "empty"),
        (&["--shapes", "4x5,"], "--shapes"),
        (&["--jac-shapes", "axb"], "not a shape"),
        (&["--dtypes", "f8"], "f8"),
        (&["--devices", "auto"], "gpu, cpu, reference"),
        (&["--devices", ""], "--devices"),
        (&["--repeats", "0"], "--repeats"),
        (&["--repeats", "-1"], "unexpected argument"),
        (&["--seconds", "0"], "0.001"),
        (&["--seconds", "soon"], "0.001"),
        (&["--preset", "slow"], "slow"),
        (&["--preset", "quick", "--shapes", "4x5"], "cannot be used with"),
        (&["--lines"], "--mode"),
        (&["--mode", "cpu"], "--lines"),
        (&["--threads", "2"], "--lines"),
        (&["--lines", "--mode", "gpu"], "gpu"),
        (&[&LINES[..], &["--threads", "0"]].concat(), "--threads"),
        (&[&LINES[..], &["--json"]].concat(), "cannot be used with"),
        (&[&LINES[..], &["--plot", "p.svg"]].concat(), "cannot be used with"),
        (&[&LINES[..], &["--preset", "full"]].concat(), "cannot be used with"),
        (&["--lines", "--mode", "gpu-e2e", "--devices", "cpu"], "one adapter"),
        (&["--lines", "--mode", "gpu-resident", "--devices", "gpu,cpu"], "one adapter"),
        (&["--ops", "softmax", "--jac-shapes", "4x5"], "nothing to measure"),
    ] {
        let ran = run(&[&["bench"], arguments].concat());
        assert_eq!(ran.status, 2, "{arguments:?}: {}", ran.stderr);
        assert!(ran.stdout.is_empty() && ran.stderr.contains(said), "{arguments:?}: {}", ran.stderr);
    }
}

#[test]
fn json_lines_carry_every_key() {
    let ran = bench(&[
        "--json",
        "--ops",
        "softmax,log_softmax,cross-entropy-gradient,jacobian",
        "--shapes",
        "37x33",
        "--dtypes",
        "f32,f64",
        "--devices",
        "cpu,reference",
    ])
    .succeeded();
    let rows = rows(&ran);
    for row in &rows {
        let keys: BTreeSet<&str> = row.as_object().unwrap().keys().map(String::as_str).collect();
        for key in [
            "peer",
            "op",
            "n",
            "k",
            "dtype",
            "device",
            "mode",
            "threads",
            "median_s",
            "min_s",
            "quartiles_s",
            "reps",
            "bytes",
            "gb_per_s",
            "limit",
            "of_copy",
            "max_rel_err_vs_f64",
            "max_abs_err_vs_f64",
            "rows_verified",
            "cold",
            "clock",
        ] {
            assert!(keys.contains(key), "{key} in {row}");
        }
        assert_eq!(
            (row["n"].as_u64(), row["k"].as_u64(), row["mode"].as_str()),
            (Some(37), Some(33), Some("cpu"))
        );
        assert!(row["median_s"].as_f64().unwrap() >= row["min_s"].as_f64().unwrap());
        assert!(row["gb_per_s"].as_f64().unwrap() > 0.0);
    }
    let ours = of_peer(&rows, "ours");
    let kinds: BTreeSet<(&str, &str)> =
        ours.iter().map(|row| (row["op"].as_str().unwrap(), row["dtype"].as_str().unwrap())).collect();
    assert_eq!(kinds.len(), 8, "{kinds:?}");
    assert!(kinds.contains(&("log_softmax", "f64")) && kinds.contains(&("cross_entropy_gradient", "f32")));
    for row in &ours {
        let (op, dtype) = (row["op"].as_str().unwrap(), row["dtype"].as_str().unwrap());
        assert_eq!((row["rows_verified"].as_u64(), row["reps"].as_u64()), (Some(37), Some(1)));
        assert!(row["of_copy"].as_f64().unwrap() > 0.0 && row["threads"].as_u64().unwrap() >= 1);
        assert_eq!(row["limit"], if op == "jacobian" { "fill" } else { "copy" });
        let least = if dtype == "f64" { 1e-12 } else { 1e-4 };
        assert!(row["max_abs_err_vs_f64"].as_f64().unwrap() < least, "{row}");
        let (n, k) = (37u64, 33u64);
        let bytes = match op {
            "jacobian" => n * k + n * k * k,
            "cross_entropy_gradient" => 2 * n * k,
            _ => 2 * n * k,
        };
        let bytes = bytes * if dtype == "f64" { 8 } else { 4 };
        let labels_and_losses = if op == "cross_entropy_gradient" { 8 * n } else { 0 };
        assert_eq!(row["bytes"], bytes + labels_and_losses, "{row}");
    }
    assert_eq!(of_peer(&rows, "reference").len(), 8);
    assert!(of_peer(&rows, "copy").len() >= 6 && of_peer(&rows, "fill").len() >= 2);
}

#[test]
fn an_adapter_in_three_ways() {
    if !has_adapter() {
        return;
    }
    // Odd lengths of 16 bits, so that rows start in the middle of words.
    let ran = bench(&[
        "--json",
        "--ops",
        "softmax,logsumexp,cross-entropy,cross-entropy-gradient,vjp,jacobian",
        "--shapes",
        "53x31",
        "--dtypes",
        "f32,f16,bf16",
        "--devices",
        "gpu",
    ])
    .succeeded();
    let rows = rows(&ran);
    let ours = of_peer(&rows, "ours");
    assert_eq!(ours.len(), 3 * 3 * 6);
    for (mode, shared) in [("gpu-kernel", true), ("gpu-resident", true), ("gpu-e2e", false)] {
        let of_mode: Vec<_> = ours.iter().filter(|row| row["mode"] == mode).collect();
        assert_eq!(of_mode.len(), 18, "{mode}");
        for row in of_mode {
            assert!(row["threads"].is_null() && row["rows_verified"] == 53 && row["cold"] == false);
            assert_eq!(row["of_copy"].is_number(), shared, "{row}");
        }
    }
    assert!(ours.iter().all(|row| row["max_abs_err_vs_f64"].as_f64().unwrap() < 0.3));
    for limit in ["copy", "read", "fill"] {
        assert!(!of_peer(&rows, limit).is_empty(), "{limit}");
    }
}

#[test]
fn the_first_call_alone() {
    let devices = if has_adapter() { "cpu,gpu" } else { "cpu" };
    let ran =
        run(&["bench", "--cold", "--json", "--ops", "softmax", "--shapes", "9x10", "--devices", devices]);
    let rows = rows(&ran.succeeded());
    let ours = of_peer(&rows, "ours");
    assert!(ours.iter().all(|row| row["cold"] == true && row["reps"] == 1 && row["mode"] != "gpu-kernel"));
    assert_eq!(ours.iter().any(|row| row["mode"] == "gpu-resident"), has_adapter());
}

#[test]
fn a_table_and_a_picture() {
    let folder = Folder::new();
    let picture = folder.name("speed.svg");
    let ran = bench(&[
        "--ops",
        "softmax",
        "--shapes",
        "64x10,8x100,2x1000",
        "--devices",
        "cpu,reference",
        "--plot",
        &picture,
    ])
    .succeeded();
    for part in
        ["softmax f32\n", "N × K", "64 × 10", "cpu, 1 thread", "textbook, 1 thread", "% of copy", "GB/s"]
    {
        assert!(ran.text().contains(part), "{part}\n{}", ran.text());
    }
    assert!(ran.stderr.contains("wrote the picture to"), "{}", ran.stderr);
    let svg = std::fs::read_to_string(picture).unwrap();
    assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n") && !svg.contains("NaN"));
    for part in ["Share of a copy, %", "K (classes)", "N (rows)", "GB/s"] {
        assert!(svg.contains(part), "{part}");
    }
    assert_eq!(bench(&["--plot", &folder.name("no/such/folder.svg")]).status, 5);
}

#[test]
fn lines_as_runners_print_them() {
    let modes: &[&str] = if has_adapter() { &["cpu", "gpu-resident", "gpu-e2e"] } else { &["cpu"] };
    for mode in modes {
        let ran = run(&[
            "bench",
            "--lines",
            "--mode",
            mode,
            "--threads",
            "1",
            "--seconds",
            "0.001",
            "--ops",
            "softmax,log_softmax,logsumexp,cross_entropy,jacobian",
            "--shapes",
            "40x33,7x1000",
            "--jac-shapes",
            "5x20",
        ])
        .succeeded();
        let rows = rows(&ran);
        let cells: Vec<(&str, u64, u64)> = (rows.iter())
            .map(|row| (row["op"].as_str().unwrap(), row["n"].as_u64().unwrap(), row["k"].as_u64().unwrap()))
            .collect();
        let ops = ["softmax", "log_softmax", "logsumexp", "cross_entropy"];
        let expected: Vec<_> =
            ops.map(|op| (op, 40, 33)).into_iter().chain(ops.map(|op| (op, 7, 1000))).collect();
        assert_eq!(cells, [&expected[..], &[("jacobian", 5, 20)]].concat());
        for row in &rows {
            assert_eq!(
                (&row["peer"], &row["mode"], &row["threads"]),
                (&"ours".into(), &(*mode).into(), &1.into())
            );
            let numbers =
                ["median_s", "min_s", "reps", "gb_per_s", "max_rel_err_vs_f64", "max_abs_err_vs_f64"];
            assert!(numbers.iter().all(|key| row[key].is_number()), "{row}");
            // On a busy machine, a single call may take ten times the seconds asked for.
            assert!(row["reps"].as_u64().unwrap() >= 1 && row["max_rel_err_vs_f64"].as_f64().unwrap() < 1e-5);
            assert_eq!(row.as_object().unwrap().len(), 12, "{row}");
        }
    }
}

#[test]
fn what_is_not_there() {
    if VULKAN_ALONE {
        let arguments = ["bench", "--repeats", "1", "--ops", "softmax", "--shapes", "4x5"];
        let asked = without_adapters(&[&arguments[..], &["--devices", "gpu"]].concat());
        assert!(asked.failed(4).contains("no GPU adapter"));
        // Nobody asked for one: the rest is measured.
        let ran = without_adapters(&arguments).succeeded();
        assert!(ran.stderr.contains("no adapter is measured") && ran.text().contains("cpu, 1 thread"));
    }
    let missing = bench(&["--ops", "softmax", "--shapes", "4x5", "--devices", "no such adapter"]);
    assert!(missing.failed(4).contains("no such adapter"));
    if has_adapter() {
        let ran = bench(&["--ops", "softmax", "--shapes", "4x5", "--dtypes", "f64", "--devices", "gpu"]);
        assert_eq!(ran.status, 4);
        assert!(ran.stderr.contains("f64 is not measured on"), "{}", ran.stderr);
    }
}

#[test]
fn shapes_that_no_memory_holds() {
    let ran = bench(&["--ops", "softmax", "--shapes", "1000000000x1000000", "--devices", "cpu"]);
    assert!(ran.failed(3).contains("no memory for"));
}
