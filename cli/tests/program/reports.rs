//! The summary for people and the JSON object: the facts, and that they are true.

use crate::{example, has_adapter, npy, run, run_with_input};

#[test]
fn the_summary_of_real_logits() {
    let input = example("digits_logits.npy");
    let ran = run(&["run", &input, "--device", "cpu"]).succeeded();
    let text = ran.text();
    for part in [
        &format!("softmax of {input}"),
        "1797 × 10 f32, along axis 1: 1797 rows of 10 classes",
        "because it was asked for",
        "compute ",
        "upload",
        "read-back",
        "[0, :]",
        "[1, :]",
        "[2, :]",
        "[1794, :]",
        "[1796, :]",
        "largest class",
        "probability",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    assert!(!text.contains("[3, :]") && !text.contains("[1793, :]"));
    assert_eq!(ran.stderr.lines().count(), 1);
    assert!(ran.stderr.starts_with("computing on CPU"));
}

#[test]
fn the_summary_of_every_operation_and_few_rows() {
    let file = npy::f64_file(&[2, 3], &[1.0, 2.0, 0.0, 0.5, 1.5, 2.5]);
    let text = |arguments: &[&str]| {
        let arguments = [&["run", "-"], arguments].concat();
        run_with_input(&arguments, &file).succeeded().text().to_string()
    };
    let softmax = text(&[]);
    assert!(softmax.contains("[0, :]  1              0.665241"), "{softmax}");
    assert!(softmax.contains("[1, :]  2              0.665241") && !softmax.contains('⋮'), "{softmax}");
    let logarithm = text(&["--op", "log-softmax"]);
    assert!(logarithm.contains("log-probability") && logarithm.contains("-0.407606"), "{logarithm}");
    let sum = text(&["--op", "logsumexp"]);
    assert!(sum.contains("[0, :]  2.40761") && !sum.contains("largest class"), "{sum}");
    let columns = text(&["--axis", "0"]);
    assert!(columns.contains("[:, 0]  0 ") && columns.contains("[:, 2]  1 "), "{columns}");
    let whole = text(&["--axis", "all"]);
    assert!(whole.contains("over the whole array: 1 row of 6 classes"), "{whole}");
    assert!(whole.contains("[:, :]  (1, 2) "), "{whole}");
}

#[test]
fn the_json_object_has_the_facts() {
    let values = [1.0, 2.0, 0.0, 0.5, 1.5, 2.5, 9.0, 9.0, 9.0].map(|value: f64| value as f32);
    let file = npy::f32_file(&[3, 3], &values);
    let arguments = ["run", "-", "--json", "--device", "cpu", "--precision", "fast"];
    let facts = run_with_input(&arguments, &file).succeeded().json();
    assert_eq!(facts["operation"], "softmax");
    assert_eq!(facts["precision"], "fast");
    assert_eq!(facts["axes"], serde_json::json!([1]));
    assert_eq!((&facts["rows"], &facts["classes"]), (&3.into(), &3.into()));
    assert_eq!(facts["input"]["dtype"], "f32");
    assert_eq!(facts["input"]["shape"], serde_json::json!([3, 3]));
    assert_eq!(facts["input"]["fortran_order"], false);
    assert_eq!(facts["result"], serde_json::json!({"path": null, "dtype": "f32", "shape": [3, 3]}));
    assert_eq!(facts["device"]["kind"], "cpu");
    assert_eq!(facts["device"]["why"], "it was asked for");
    for time in ["open_device", "read", "set_up", "upload", "compute", "read_back", "write"] {
        assert!(facts["seconds"][time].as_f64().unwrap() >= 0.0, "{time}");
    }
    let rows = facts["first_rows"].as_array().unwrap();
    assert_eq!((rows.len(), facts["last_rows"].as_array().unwrap().len()), (3, 0));
    assert_eq!((&rows[0]["row"], &rows[0]["class"]), (&serde_json::json!([0]), &1.into()));
    assert!((rows[0]["value"].as_f64().unwrap() - 0.665_240_96).abs() < 1e-6);
    // The first of equals, as in NumPy.
    assert_eq!(rows[2]["class"], 0);
}

#[test]
fn rows_of_a_gpu_are_reported_alike() {
    if !has_adapter() {
        return;
    }
    let input = example("digits_logits.npy");
    let facts = |device: &str| run(&["run", &input, "--json", "--device", device]).succeeded().json();
    let (gpu, cpu) = (facts("gpu"), facts("cpu"));
    assert_eq!(gpu["device"]["kind"], "gpu");
    assert!(gpu["device"]["backend"].is_string() && cpu["device"]["backend"].is_null());
    assert!(
        gpu["seconds"]["upload"].as_f64().unwrap() > 0.0 && gpu["seconds"]["compute"].as_f64().unwrap() > 0.0
    );
    for part in ["first_rows", "last_rows"] {
        for row in 0..3 {
            assert_eq!(gpu[part][row]["row"], cpu[part][row]["row"]);
            assert_eq!(gpu[part][row]["class"], cpu[part][row]["class"]);
        }
    }
    let summary = run(&["run", &input, "--device", "gpu"]).succeeded();
    for part in ["upload ", "compute ", "read-back ", "because it is the best adapter"] {
        assert!(summary.text().contains(part), "{part}");
    }
}

/// JSON knows neither NaN nor infinity.
#[test]
fn numbers_that_are_none() {
    let file = npy::f32_file(&[2, 2], &[f32::NAN, 1.0, 0.0, 0.0]);
    let facts = run_with_input(&["run", "-", "--json"], &file).succeeded().json();
    assert_eq!(facts["first_rows"][0], serde_json::json!({"row": [0], "class": null, "value": "NaN"}));
    assert_eq!(facts["first_rows"][1], serde_json::json!({"row": [1], "class": 0, "value": 0.5}));
    let summary = run_with_input(&["run", "-"], &file).succeeded();
    assert!(summary.text().contains("[0, :]  none           NaN"), "{}", summary.text());

    let empty = npy::f32_file(&[1, 0], &[]);
    let facts = run_with_input(&["run", "-", "--json", "--op", "logsumexp"], &empty).succeeded().json();
    assert_eq!(facts["first_rows"][0], serde_json::json!({"row": [0], "class": null, "value": "-Infinity"}));
    let facts = run_with_input(&["run", "-", "--json"], &empty).succeeded().json();
    assert_eq!(facts["first_rows"][0], serde_json::json!({"row": [0], "class": null, "value": null}));
    let summary = run_with_input(&["run", "-"], &npy::f32_file(&[0, 5], &[])).succeeded();
    assert!(summary.text().contains("no rows"), "{}", summary.text());
}

#[test]
fn nobody_watches_no_progress_bar() {
    let count = 1 << 24;
    let header = format!("{{'descr': '|u1', 'fortran_order': False, 'shape': ({count},), }}");
    let file = npy::with_header(1, &header, &vec![0; count]);
    let ran = run_with_input(&["run", "-", "--dtype", "f32", "--device", "cpu", "--op", "logsumexp"], &file)
        .succeeded();
    assert_eq!(ran.stderr.lines().count(), 1);
    assert!(ran.text().contains("[:]  16.6355"), "{}", ran.text());
}
