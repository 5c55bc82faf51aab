//! What may be typed, and status 2 for what may not.

use crate::{example, run, run_with_input};

#[test]
fn help_and_version_go_to_standard_output() {
    for arguments in [&["--help"][..], &["-h"], &["run", "--help"], &["help", "explain"], &["--version"]] {
        let ran = run(arguments).succeeded();
        assert!(ran.text().contains("wgpu-softmax") && ran.stderr.is_empty());
    }
    let help = run(&["run", "--help"]).succeeded();
    for part in [
        "--op",
        "softmax",
        "log-softmax",
        "logsumexp",
        "cross-entropy",
        "--axis",
        "--keepdims",
        "--device",
        "--dtype",
        "bf16",
        "Temperature and masks:",
        "Cross-entropy:",
        "Examples:",
    ] {
        assert!(help.text().contains(part), "{part}");
    }
}

#[test]
fn a_wrong_command_line() {
    let input = example("digits_logits.npy");
    let input = input.as_str();
    for arguments in [
        &[][..],
        &["walk"],
        &["run"],
        &["run", input, input],
        &["run", input, "--op", "softmin"],
        &["run", input, "--op", "Softmax"],
        &["run", input, "--dtype", "f8"],
        &["run", input, "--precision", "exact"],
        &["run", input, "--device", ""],
        &["run", input, "--axis", ""],
        &["run", input, "--axis", "foo"],
        &["run", input, "--axis", "1.5"],
        &["run", input, "--axis", "0,"],
        &["run", input, "--axis", "1,1"],
        &["run", input, "--axis", "-1,-1"],
        &["run", input, "--axis", "99999999999999999999"],
        &["run", input, "--axis"],
        &["run", input, "--axis", "--json"],
        &["run", input, "-o"],
        &["run", input, "-o", ""],
        &["run", ""],
        &["run", input, "--unknown"],
        &["explain"],
        &["explain", ""],
        &["explain", "4x"],
        &["explain", "0x"],
        &["explain", "x5"],
        &["explain", "4x-5"],
        &["explain", "4,5"],
        &["explain", "4294967296x4294967296"],
        &["explain", "99999999999999999999"],
        &["shaders"],
        &["shaders", "-o", "-"],
        &["completions"],
        &["completions", "abacus"],
        &["devices", "all"],
    ] {
        let ran = run(arguments);
        assert_eq!(ran.status, 2, "{arguments:?}: {}", ran.stderr);
        assert!(ran.stdout.is_empty() && !ran.stderr.is_empty(), "{arguments:?}");
    }
}

/// What has no use, what is missing, what contradicts itself: told from the words alone, so that no file needs
/// to be there.
#[test]
fn words_that_do_not_go_together() {
    const LOSS: [&str; 4] = ["--op", "cross-entropy", "--labels", "y.npy"];
    for (arguments, said) in [
        (&["--op", "vjp"][..], "--cotangent"),
        (&["--op", "log-softmax-vjp", "--tangent", "v.npy"], "--tangent goes with"),
        (&["--op", "jvp"], "--tangent"),
        (&["--op", "jvp", "--cotangent", "v.npy"], "--cotangent goes with"),
        (&["--cotangent", "v.npy"], "vjp"),
        (&["--op", "cross-entropy"], "--labels FILE or --target-probs FILE"),
        (&["--op", "cross-entropy", "--labels", "y.npy", "--target-probs", "t.npy"], "cannot be used with"),
        (&["--op", "cross-entropy", "--target-probs", "t.npy", "--ignore-index", "0"], "--ignore-index"),
        (&["--labels", "y.npy"], "cross-entropy"),
        (&["--target-probs", "t.npy"], "cross-entropy"),
        (&["--weights", "w.npy"], "logsumexp or cross-entropy"),
        (&["--op", "logsumexp", "--sign", "s.npy"], "--weights"),
        (&["--sign", "s.npy"], "logsumexp"),
        (&["--ignore-index", "-1"], "cross-entropy"),
        (&["--label-smoothing", "0.1"], "cross-entropy"),
        (&["--z-loss", "0.1"], "cross-entropy"),
        (&["--reduction", "mean"], "cross-entropy"),
        (&["--grad", "g.npy"], "cross-entropy"),
        (&["--log-probs", "p.npy"], "cross-entropy"),
        (&[&LOSS[..], &["--keepdims"]].concat(), "--keepdims"),
        (&[&LOSS[..], &["--reduction", "median"]].concat(), "median"),
        (&[&LOSS[..], &["--label-smoothing", "1.5"]].concat(), "from 0 to 1"),
        (&[&LOSS[..], &["--label-smoothing", "-0.1"]].concat(), "from 0 to 1"),
        (&[&LOSS[..], &["--label-smoothing", "nan"]].concat(), "from 0 to 1"),
        (&[&LOSS[..], &["--z-loss", "inf"]].concat(), "finite"),
        (&[&LOSS[..], &["--ignore-index", "1.5"]].concat(), "1.5"),
        (&[&LOSS[..], &["--grad", "g.npy", "--log-probs", "g.npy"]].concat(), "written twice"),
        (&[&LOSS[..], &["--grad", "g.safetensors:a", "-o", "g.safetensors:b"]].concat(), "written twice"),
        (&[&LOSS[..], &["--grad", "-", "-o", "-"]].concat(), "written twice"),
        (&[&LOSS[..], &["--grad", "g.npy", "--dtype", "bf16"]].concat(), ".safetensors"),
        (&["--window", "3"], "--causal"),
        (&["--causal-offset", "3"], "--causal"),
        (&["--causal", "--window", "-3"], "whole number"),
        (&["--causal", "--window", "1.5"], "whole number"),
        (&["--causal", "--axis", "all"], "last axis"),
        (&["--causal", "--axis", "-2"], "last axis"),
        (&["--causal", "--axis", "-2,-1"], "last axis"),
        (&["--temperature", "0"], "more than 0"),
        (&["--temperature", "-2"], "more than 0"),
        (&["--temperature", "NaN"], "more than 0"),
        (&["--fully-masked", "one"], "one"),
        (&["--mask", "-", "--lengths", "-"], "standard input"),
        (&["--mask", ""], "--mask"),
        (&["--mask", "m.safetensors:"], "no tensor's name"),
    ] {
        let ran = run(&[&["run", "nowhere.npy"], arguments].concat());
        assert_eq!(ran.status, 2, "{arguments:?}: {}", ran.stderr);
        assert!(ran.stdout.is_empty() && ran.stderr.contains(said), "{arguments:?}: {}", ran.stderr);
        assert!(ran.stderr.starts_with("error: ") && !ran.stderr.contains("nowhere"), "{}", ran.stderr);
    }
    assert_eq!(run(&["run", "-", "--mask", "-"]).status, 2);
}

/// A wrong command line is told before the input is looked at.
#[test]
fn the_command_line_comes_first() {
    assert_eq!(run(&["run", "nowhere.npy", "--axis", "foo"]).status, 2);
    assert_eq!(run_with_input(&["run", "-", "--op", "softmin"], b"junk").status, 2);
}

#[test]
fn a_value_may_start_with_a_minus() {
    let input = example("digits_logits.npy");
    for arguments in [
        &["run", &input, "--axis", "-1"][..],
        &["run", &input, "--axis=-2"],
        &["run", &input, "--axis", "-1,-2"],
        &["run", &input, "--axis", "-2,-1", "--json"],
        &["run", "--axis", "-2", &input, "-o", "-"],
        &["explain", "4x5", "--axis", "-2"],
        &["explain", "--axis", "-2,-1", "4x5x6"],
    ] {
        run(arguments).succeeded();
    }
}

#[test]
fn completions_for_every_shell() {
    for (shell, part) in [
        ("bash", "complete -F"),
        ("zsh", "#compdef wgpu-softmax"),
        ("fish", "complete -c wgpu-softmax"),
        ("powershell", "Register-ArgumentCompleter"),
        ("elvish", "edit:completion"),
    ] {
        let ran = run(&["completions", shell]).succeeded();
        assert!(
            ran.text().contains(part) && ran.text().contains("explain") && ran.stderr.is_empty(),
            "{shell}"
        );
    }
}

#[cfg(unix)]
#[test]
fn bash_accepts_its_script() {
    let folder = crate::Folder::new();
    if !std::path::Path::new("/bin/bash").exists() {
        return;
    }
    let ran = crate::shell("\"$PROGRAM\" completions bash > script && /bin/bash -n script", folder.path());
    assert_eq!(ran.succeeded().stderr, "");
}
