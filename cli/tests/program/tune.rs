//! `tune` and `--tuned`: where tables lie, who reads them, and what becomes of those that do not fit. Never which kernel
//! is the fastest.

use std::path::Path;
use std::process::Stdio;

use crate::{Folder, Ran, has_adapter, npy, program, reference, run, without_adapters};

/// The program with a folder of its own for caches.
fn run_in(caches: &Path, arguments: &[&str]) -> Ran {
    let mut command = program();
    for variable in ["XDG_CACHE_HOME", "LOCALAPPDATA"] {
        command.env(variable, caches);
    }
    command.args(arguments).stdin(Stdio::null());
    command.output().unwrap().into()
}

/// Measures next to nothing, as fast as it goes.
fn tune_in(caches: &Path, lengths: &str, arguments: &[&str]) -> Ran {
    let few = ["tune", "--dtypes", "f32", "--seconds", "0.001", "--lengths", lengths];
    run_in(caches, &[&few, arguments].concat())
}

/// The one table in a folder for caches.
fn table_in(caches: &Folder) -> std::path::PathBuf {
    let folder = caches.join("wgpu-softmax").join("tuning");
    let files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    let [file] = &files[..] else { panic!("{files:?}") };
    file.clone()
}

/// A table's adapter with these lines after it.
fn with_entries(table: &str, entries: &str) -> String {
    let head: Vec<&str> = table.lines().take_while(|line| !line.starts_with('#')).collect();
    format!("{}\n{entries}", head.join("\n"))
}

const OTHER_KERNEL: &str = "per-element f32 1024 workgroup_per_row 64\n";

#[test]
fn a_wrong_command_line() {
    for (arguments, said) in [
        (&["tune", "--device", "cpu"][..], "no kernel to choose on the CPU"),
        (&["tune", "--device", "auto"], "a part of an adapter's name"),
        (&["tune", "--dtypes", "f64"], "f64"),
        (&["tune", "--dtypes", "f32,"], "--dtypes"),
        (&["tune", "--lengths", "0"], "from 1 to 1048576"),
        (&["tune", "--lengths", "1048577"], "from 1 to 1048576"),
        (&["tune", "--lengths", "4,x"], "from 1 to 1048576"),
        (&["tune", "--seconds", "0"], "0.001"),
        (&["tune", "1000"], "unexpected argument"),
        (&["explain", "4x5", "--device", "cpu", "--tuned"], "an adapter's kernels"),
        (&["explain", "4x5", "--dtype", "f64", "--tuned"], "GPUs do not compute in f64"),
        (
            &["bench", "--devices", "cpu", "--ops", "softmax", "--shapes", "4x5", "--tuned"],
            "no adapter is measured",
        ),
        (&["bench", "--lines", "--mode", "cpu", "--tuned"], "no adapter is measured"),
    ] {
        let ran = run(arguments);
        assert_eq!(ran.status, 2, "{arguments:?}: {}", ran.stderr);
        assert!(ran.stdout.is_empty() && ran.stderr.contains(said), "{arguments:?}: {}", ran.stderr);
    }
    if crate::VULKAN_ALONE {
        without_adapters(&["tune"]).failed(4);
        without_adapters(&["explain", "4x5", "--tuned"]).failed(2);
    }
}

#[test]
fn a_table_is_stored_and_told_of() {
    if !has_adapter() {
        return;
    }
    let caches = Folder::new();
    let ran = tune_in(caches.path(), "781", &[]).succeeded();
    let path = table_in(&caches);
    let name = path.to_str().unwrap();
    assert!(ran.stderr.contains(name) && ran.stderr.contains("stored the table of "), "{}", ran.stderr);
    let lines: Vec<&str> = ran.text().lines().collect();
    assert!(lines.len() == 3 && lines[0].starts_with("values"), "{lines:?}");
    assert!(lines[1].contains("513 to 1024") && lines[2].starts_with("per-row"), "{lines:?}");

    let ran = tune_in(caches.path(), "4,3,5", &["--json"]).succeeded();
    let facts = ran.json();
    assert_eq!(facts["path"], name);
    let found = run(&["devices", "--json"]).succeeded().json();
    for key in ["name", "kind", "backend", "driver"] {
        assert_eq!(facts["adapter"][key], found["adapters"][0][key]);
    }
    let measured = facts["measured"].as_array().unwrap();
    assert_eq!(measured.len(), 4, "{facts}");
    for span in measured {
        let candidates = span["candidates"].as_array().unwrap();
        assert_eq!(candidates[0]["kernel"], "built-in");
        assert!(candidates.iter().all(|candidate| candidate["median_s"].as_f64().unwrap() > 0.0));
        assert!(candidates.contains(&span["fastest"]), "{span}");
    }
    // What was measured before is still there.
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(text.lines().filter(|line| line.starts_with("per-")).count(), 6, "{text}");

    let text = run_in(caches.path(), &["explain", "9x1000", "--device", "gpu", "--tuned"]).succeeded();
    assert!(text.text().contains(name) && text.text().contains("(tuned)"), "{}", text.text());
    let unasked = run_in(caches.path(), &["explain", "9x1000", "--device", "gpu"]).succeeded();
    assert!(unasked.text().contains("(built-in)") && !unasked.text().contains(name), "{}", unasked.text());
    let unmeasured = run_in(caches.path(), &["explain", "9x100", "--device", "gpu", "--tuned"]).succeeded();
    assert!(unmeasured.text().contains("(built-in: the table has nothing for"), "{}", unmeasured.text());
}

#[test]
fn results_by_a_table_are_right_and_those_without_it_the_same_as_ever() {
    if !has_adapter() {
        return;
    }
    let (caches, folder) = (Folder::new(), Folder::new());
    let values = reference::logits(7 * 1000);
    let singles: Vec<f32> = values.iter().map(|&value| value as f32).collect();
    let input = folder.file("logits.npy", &npy::f32_file(&[7, 1000], &singles));
    let computed = |arguments: &[&str]| {
        let run = [&["run", &input, "-o", "-", "--device", "gpu"], arguments].concat();
        run_in(caches.path(), &run).succeeded().stdout
    };
    let before = computed(&[]);
    tune_in(caches.path(), "781", &[]).succeeded();
    let path = table_in(&caches);
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, with_entries(&text, OTHER_KERNEL)).unwrap();

    let explained = run_in(caches.path(), &["explain", "7x1000", "--device", "gpu", "--tuned"]).succeeded();
    assert!(explained.text().contains("workgroup_per_row, since 64 lane(s)"), "{}", explained.text());
    assert!(computed(&[]) == before, "a table that nobody asks for changes bits");
    let singles: Vec<f64> = singles.into_iter().map(f64::from).collect();
    for op in ["softmax", "log-softmax", "logsumexp"] {
        let result = npy::parse(&computed(&["--tuned", "--op", op]));
        reference::assert_close(&result.values, &reference::compute(op, &singles, &[7, 1000], &[1]), "<f4");
    }
    let facts =
        run_in(caches.path(), &["run", &input, "--json", "--device", "gpu", "--tuned"]).succeeded().json();
    assert_eq!(facts["device"]["table"], path.to_str().unwrap());
    let facts = run_in(caches.path(), &["run", &input, "--json", "--device", "gpu"]).succeeded().json();
    assert!(facts["device"]["table"].is_null());
    // The benchmark verifies what it times.
    let bench = [
        "bench",
        "--json",
        "--repeats",
        "1",
        "--ops",
        "softmax,cross-entropy-gradient",
        "--shapes",
        "5x1000",
    ];
    run_in(caches.path(), &[&bench[..], &["--devices", "gpu", "--tuned"]].concat()).succeeded();
}

#[test]
fn a_table_that_does_not_fit() {
    if !has_adapter() {
        return;
    }
    let caches = Folder::new();
    let explain = || run_in(caches.path(), &["explain", "9x1000", "--device", "gpu", "--tuned"]);
    for arguments in [
        &["explain", "9x1000", "--device", "gpu", "--tuned"][..],
        &["run", &crate::example("digits_logits.npy"), "--device", "gpu", "--tuned"],
        &["bench", "--devices", "gpu", "--ops", "softmax", "--shapes", "4x5", "--tuned"],
        &["bench", "--lines", "--mode", "gpu-resident", "--shapes", "4x5", "--tuned"],
    ] {
        let error = run_in(caches.path(), arguments).failed(2);
        assert!(error.contains("is not there") && error.contains("wgpu-softmax tune --device"), "{error}");
    }
    assert!(!caches.join("wgpu-softmax").exists());

    tune_in(caches.path(), "781", &[]).succeeded();
    let path = table_in(&caches);
    let text = std::fs::read_to_string(&path).unwrap();
    let store = |text: &[u8]| std::fs::write(&path, text).unwrap();

    store(text.replace("\ndriver ", "\ndriver yesterday's ").as_bytes());
    let error = explain().failed(2);
    assert!(error.contains("was measured on") && error.contains("yesterday's"), "{error}");
    store(text.replace("tuning 1", "tuning 0").as_bytes());
    assert!(explain().failed(3).contains("line 1"));
    store(with_entries(&text, "per-element f32 1024 abacus 9").as_bytes());
    assert!(explain().failed(3).contains("abacus"));
    store(&[0xff; 100]);
    assert!(explain().failed(3).contains(path.to_str().unwrap()));
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    explain().failed(3);
    tune_in(caches.path(), "781", &[]).failed(5);
    std::fs::remove_dir(&path).unwrap();

    // One that is whole, and asks for what no device can do.
    store(with_entries(&text, "per-element f32 1024 workgroup_per_row 65536").as_bytes());
    let text = explain().succeeded();
    assert!(text.text().contains("(built-in: the table has workgroup_per_row, but"), "{}", text.text());
    // Measuring again mends it.
    store(b"no table");
    tune_in(caches.path(), "781", &[]).succeeded();
    assert!(explain().succeeded().text().contains("(tuned)"));
}

#[test]
fn nowhere_to_store_it() {
    if !has_adapter() {
        return;
    }
    let caches = Folder::new();
    let in_the_way = caches.file("wgpu-softmax", b"");
    let error = tune_in(caches.path(), "781", &[]).failed(5);
    assert!(error.contains(&in_the_way), "{error}");
}
