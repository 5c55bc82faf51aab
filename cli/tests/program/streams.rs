//! Standard input and output, and which of the streams a report goes to.

use crate::{example, npy, run, run_with_input};

fn logits() -> Vec<u8> {
    npy::f32_file(&[2], &[6.0, 3.0])
}

#[test]
fn from_standard_input_to_standard_output() {
    let ran = run_with_input(&["run", "-", "-o", "-"], &logits()).succeeded();
    let result = npy::parse(&ran.stdout);
    assert!((result.values[0] - 0.952_574_13).abs() < 1e-7);
    assert!(
        ran.stderr.starts_with("computing on ")
            && ran.stderr.contains("wrote softmax of 2 f32 to standard output")
    );
}

#[test]
fn the_json_object_is_alone_on_its_stream() {
    let input = example("digits_logits.npy");
    let on_stdout = run(&["run", &input, "--json"]).succeeded();
    assert_eq!(on_stdout.json()["input"]["path"], input.as_str());
    assert!(on_stdout.stderr.starts_with("computing on ") && on_stdout.stderr.lines().count() == 1);
    assert_eq!(on_stdout.text().lines().count(), 1);

    let on_stderr = run_with_input(&["run", "-", "-o", "-", "--json"], &logits()).succeeded();
    let facts: serde_json::Value = serde_json::from_str(&on_stderr.stderr).unwrap();
    assert_eq!(
        (&facts["input"]["path"], &facts["result"]["path"]),
        (&"standard input".into(), &"standard output".into())
    );
    npy::parse(&on_stderr.stdout);

    let folder = crate::Folder::new();
    let output = folder.name("out.npy");
    let beside_a_file = run_with_input(&["run", "-", "-o", &output, "--json"], &logits()).succeeded();
    assert_eq!(beside_a_file.json()["result"]["path"], output.as_str());
    npy::parse(&std::fs::read(output).unwrap());
}

#[cfg(unix)]
#[test]
fn through_pipes_and_redirections() {
    let folder = crate::Folder::new();
    folder.file("in.npy", &logits());
    for line in [
        "\"$PROGRAM\" run - -o - < in.npy > out.npy",
        "cat in.npy | \"$PROGRAM\" run - -o - | cat > out.npy",
        "cat in.npy | \"$PROGRAM\" run /dev/stdin -o out.npy",
        "mkfifo pipe && { cat in.npy > pipe & } && \"$PROGRAM\" run pipe -o out.npy",
        "{ head -c 70 in.npy; sleep 0.2; tail -c +71 in.npy; } | \"$PROGRAM\" run - -o out.npy",
    ] {
        crate::shell(line, folder.path()).succeeded();
        assert!(
            (npy::parse(&std::fs::read(folder.join("out.npy")).unwrap()).values[1] - 0.047_425_87).abs()
                < 1e-7
        );
        std::fs::remove_file(folder.join("out.npy")).unwrap();
    }
}

/// Whichever result takes standard output, the report goes to the other stream.
#[test]
fn another_result_on_standard_output() {
    let labels = example("digits_labels.npy");
    let input = example("digits_logits.npy");
    let arguments = ["run", &input, "--op", "cross-entropy", "--labels", &labels, "--grad", "-"];
    let ran = run(&arguments).succeeded();
    assert_eq!(npy::parse(&ran.stdout).shape, [1797, 10]);
    assert!(ran.stderr.contains("\n  loss  0.0796"), "{}", ran.stderr);
    let ran = run(&[&arguments[..], &["--json"]].concat()).succeeded();
    let facts: serde_json::Value = serde_json::from_str(&ran.stderr).unwrap();
    assert_eq!(facts["other_results"][0]["path"], "standard output");
    npy::parse(&ran.stdout);
}

#[test]
fn another_input_from_standard_input() {
    let mask = npy::bool_file(&[10], &[true, true, false, true, true, true, true, true, true, true]);
    let ran =
        run_with_input(&["run", &example("digits_logits.npy"), "--mask", "-", "-o", "-"], &mask).succeeded();
    assert_eq!(npy::parse(&ran.stdout).values[2], 0.0);
}
