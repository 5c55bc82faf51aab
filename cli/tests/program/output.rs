//! Where results go: whole files or none, in the place and with the permissions they had.

use std::fs;

use crate::{Folder, npy, reference, run};

fn logits() -> Vec<u8> {
    npy::f32_file(&[2, 3], &[1.0, 2.0, 0.0, 0.5, 1.5, 2.5])
}

const PROBABILITIES: [f64; 6] =
    [0.244_728_471, 0.665_240_956, 0.090_030_573, 0.090_030_573, 0.244_728_471, 0.665_240_956];

#[track_caller]
fn assert_probabilities(path: &str) {
    let result = npy::parse(&fs::read(path).unwrap());
    assert_eq!((result.descr.as_str(), &result.shape[..]), ("<f4", &[2, 3][..]));
    for (actual, expected) in result.values.iter().zip(PROBABILITIES) {
        assert!((actual - expected).abs() < 1e-6);
    }
}

#[test]
fn a_file_and_a_note_of_it() {
    let folder = Folder::new();
    let (input, output) = (folder.file("in.npy", &logits()), folder.name("out.npy"));
    let ran = run(&["run", &input, "-o", &output]).succeeded();
    assert!(ran.stdout.is_empty());
    let notes: Vec<&str> = ran.stderr.lines().collect();
    assert!(notes[0].starts_with("computing on ") && notes[1].starts_with("wrote softmax of 2 × 3 f32 to "));
    assert_eq!(notes.len(), 2);
    assert_probabilities(&output);
    assert_eq!(folder.names(), ["in.npy", "out.npy"]);
}

#[test]
fn in_place_of_the_input() {
    let folder = Folder::new();
    let input = folder.file("in.npy", &logits());
    run(&["run", &input, "-o", &input]).succeeded();
    assert_probabilities(&input);
    assert_eq!(folder.names(), ["in.npy"]);
}

#[test]
fn a_longer_file_is_replaced_whole() {
    let folder = Folder::new();
    let input = folder.file("in.npy", &logits());
    let output = folder.file("out.npy", &[7; 100_000]);
    run(&["run", &input, "-o", &output]).succeeded();
    assert_probabilities(&output);
}

#[test]
fn a_name_without_a_folder() {
    let folder = Folder::new();
    folder.file("in.npy", &logits());
    let ran = crate::program()
        .args(["run", "in.npy", "-o", "out.npy"])
        .current_dir(folder.path())
        .output()
        .unwrap();
    crate::Ran::from(ran).succeeded();
    assert_probabilities(&folder.name("out.npy"));
}

#[test]
fn places_that_cannot_be_written() {
    let folder = Folder::new();
    let input = folder.file("in.npy", &logits());
    let file = folder.file("file", b"");
    let read_only = folder.file("read-only.npy", b"kept");
    let mut permissions = fs::metadata(&read_only).unwrap().permissions();
    permissions.set_readonly(true);
    fs::set_permissions(&read_only, permissions).unwrap();
    for (output, reason) in [
        (folder.path().to_str().unwrap().to_string(), "is a directory"),
        (folder.name("nowhere/out.npy"), "does not exist"),
        (folder.name("new/"), "names no file"),
        (format!("{file}/out.npy"), "cannot write"),
        (read_only.clone(), "read-only"),
    ] {
        let error = run(&["run", &input, "-o", &output]).failed(5);
        assert!(error.contains(reason), "{output}: {error}");
    }
    assert_eq!(fs::read(read_only).unwrap(), b"kept");
    assert_eq!(folder.names(), ["file", "in.npy", "read-only.npy"]);
}

/// Several files appear together, or none of them.
#[test]
fn all_that_is_asked_for_or_nothing() {
    let folder = Folder::new();
    let input = folder.file("in.npy", &logits());
    let labels = folder.file("labels.npy", &npy::i64_file(&[2], &[0, 1]));
    let [output, gradient, logarithms] = ["l.npy", "g.safetensors", "p.npy"].map(|name| folder.name(name));
    let arguments = ["run", &input, "--op", "cross-entropy", "--labels", &labels, "--grad", &gradient];
    let all = run(&[&arguments[..], &["-o", &output, "--log-probs", &logarithms]].concat()).succeeded();
    assert_eq!(all.stderr.lines().count(), 2);
    assert_eq!(folder.names(), ["g.safetensors", "in.npy", "l.npy", "labels.npy", "p.npy"]);
    for written in [&output, &gradient, &logarithms] {
        fs::remove_file(written).unwrap();
    }

    let nowhere = folder.name("nowhere/p.npy");
    let error = run(&[&arguments[..], &["-o", &output, "--log-probs", &nowhere]].concat()).failed(5);
    assert!(error.contains("nowhere/p.npy"), "{error}");
    // The same file by two names, which only the file system knows.
    fs::create_dir(folder.join("below")).unwrap();
    let again = folder.name("below/../g.safetensors");
    let error = run(&[&arguments[..], &["-o", &again]].concat()).failed(2);
    assert!(error.contains("written twice"), "{error}");
    assert_eq!(folder.names(), ["below", "in.npy", "labels.npy"]);
}

#[cfg(unix)]
mod unix {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;
    use crate::{example, program, shell};

    fn mode(path: &str) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn permissions_are_kept_or_those_of_any_new_file() {
        let folder = Folder::new();
        folder.file("in.npy", &logits());
        let old = folder.file("old.npy", b"");
        fs::set_permissions(&old, PermissionsExt::from_mode(0o640)).unwrap();
        let line = "umask 027; \"$PROGRAM\" run in.npy -o new.npy && \"$PROGRAM\" run in.npy -o old.npy; touch touched";
        shell(line, folder.path()).succeeded();
        assert_eq!(mode(&old), 0o640);
        assert_eq!(mode(&folder.name("new.npy")), mode(&folder.name("touched")));
        assert_probabilities(&old);
    }

    #[test]
    fn links_stay_links() {
        let folder = Folder::new();
        let input = folder.file("in.npy", &logits());
        fs::create_dir(folder.join("below")).unwrap();
        let target = folder.file("below/target.npy", b"old");
        symlink("below/target.npy", folder.join("link.npy")).unwrap();
        symlink("link.npy", folder.join("link-to-link.npy")).unwrap();
        symlink("below/new.npy", folder.join("dangling.npy")).unwrap();
        symlink("circle.npy", folder.join("circle.npy")).unwrap();

        run(&["run", &input, "-o", &folder.name("link-to-link.npy")]).succeeded();
        assert_probabilities(&target);
        run(&["run", &input, "-o", &folder.name("dangling.npy")]).succeeded();
        assert_probabilities(&folder.name("below/new.npy"));
        for link in ["link.npy", "link-to-link.npy", "dangling.npy"] {
            assert!(folder.join(link).is_symlink(), "{link}");
        }
        run(&["run", &input, "-o", &folder.name("circle.npy")]).failed(5);
        assert_eq!(fs::read_dir(folder.join("below")).unwrap().count(), 2);
    }

    /// The file system takes the first kilobytes and no more.
    #[test]
    fn a_full_disk_leaves_the_old_file() {
        let folder = Folder::new();
        let output = folder.file("out.npy", b"what was there");
        let input = example("digits_logits.npy");
        let line =
            format!("trap '' XFSZ; ulimit -f 8; exec \"$PROGRAM\" run '{input}' -o out.npy --device cpu");
        let error = shell(&line, folder.path()).failed(5);
        assert!(error.contains("cannot write out.npy"), "{error}");
        assert_eq!(fs::read(output).unwrap(), b"what was there");
        assert_eq!(folder.names(), ["out.npy"]);
    }

    /// The second file fits no more: the first one does not appear either.
    #[test]
    fn a_full_disk_leaves_all_old_files() {
        let folder = Folder::new();
        let output = folder.file("l.npy", b"what was there");
        let (input, labels) = (example("digits_logits.npy"), example("digits_labels.npy"));
        for gradient in ["g.npy", "/dev/full"] {
            if gradient == "/dev/full" && !cfg!(target_os = "linux") {
                continue;
            }
            let line = format!(
                "trap '' XFSZ; ulimit -f 8; exec \"$PROGRAM\" run '{input}' -o l.npy --op cross-entropy --labels \
                 '{labels}' --grad {gradient} --device cpu"
            );
            let error = shell(&line, folder.path()).failed(5);
            assert!(error.contains(gradient), "{error}");
            assert_eq!(fs::read(&output).unwrap(), b"what was there");
            assert_eq!(folder.names(), ["l.npy"]);
        }
    }

    #[test]
    fn devices_are_written_as_they_are() {
        let folder = Folder::new();
        let input = folder.file("in.npy", &logits());
        run(&["run", &input, "-o", "/dev/null"]).succeeded();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
        if cfg!(target_os = "linux") {
            let error = run(&["run", &input, "-o", "/dev/full"]).failed(5);
            assert!(error.contains("/dev/full") && error.contains("No space left"), "{error}");
        }
    }

    #[test]
    fn a_named_pipe_is_written_through() {
        let folder = Folder::new();
        folder.file("in.npy", &logits());
        let line = "mkfifo pipe && { cat pipe > out.npy & } && \"$PROGRAM\" run in.npy -o pipe && wait";
        shell(line, folder.path()).succeeded();
        assert_probabilities(&folder.name("out.npy"));
        assert_eq!(folder.names(), ["in.npy", "out.npy", "pipe"]);
    }

    #[test]
    fn open_files_by_number() {
        let folder = Folder::new();
        folder.file("in.npy", &logits());
        for output in ["/dev/stdout", "/dev/fd/1", "-"] {
            let line = format!("\"$PROGRAM\" run in.npy -o {output} > out.npy");
            shell(&line, folder.path()).succeeded();
            assert_probabilities(&folder.name("out.npy"));
            assert_eq!(folder.names(), ["in.npy", "out.npy"]);
        }
    }

    /// `| head` takes what it wants and goes.
    #[test]
    fn a_reader_that_leaves_is_no_accident() {
        for arguments in [
            &["run", &example("vocab_logits.npy"), "-o", "-"][..],
            &["run", &example("vocab_logits.npy")],
            &["completions", "zsh"],
            &["devices"],
            &["explain", "4x5"],
            &["--help"],
        ] {
            let (reader, writer) = std::io::pipe().unwrap();
            drop(reader);
            let ran = crate::Ran::from(program().args(arguments).stdout(writer).output().unwrap());
            assert_eq!(ran.status, 5, "{arguments:?}");
            assert!(!ran.stderr.contains("error"), "{}", ran.stderr);
        }
    }

    #[test]
    fn reports_that_cannot_be_written() {
        if !cfg!(target_os = "linux") {
            return;
        }
        let folder = Folder::new();
        folder.file("in.npy", &logits());
        for command in [
            "run in.npy",
            "run in.npy --json",
            "run in.npy -o -",
            "devices",
            "explain 4x5",
            "completions fish",
        ] {
            shell(&format!("\"$PROGRAM\" {command} > /dev/full"), folder.path()).failed(5);
        }
        assert_eq!(shell("\"$PROGRAM\" --help > /dev/full", folder.path()).status, 5);
    }

    #[test]
    fn closed_streams_are_borne() {
        let folder = Folder::new();
        folder.file("in.npy", &logits());
        shell("\"$PROGRAM\" run in.npy -o out.npy 2>&-", folder.path()).succeeded();
        assert_probabilities(&folder.name("out.npy"));
        shell("\"$PROGRAM\" run in.npy >&- 2>&-", folder.path()).succeeded();
        shell("\"$PROGRAM\" run - <&-", folder.path()).failed(3);
    }
}

/// Large enough for several turns of every buffer on the way.
#[test]
fn a_larger_array_comes_through_whole() {
    let folder = Folder::new();
    let values: Vec<f32> = reference::logits(700_001).iter().map(|&value| value as f32).collect();
    let input = folder.file("in.npy", &npy::f32_file(&[100_000, 7], &values[1..]));
    let output = folder.name("out.npy");
    run(&["run", &input, "-o", &output]).succeeded();
    let wide: Vec<f64> = values[1..].iter().map(|&value| value.into()).collect();
    let result = npy::parse(&fs::read(output).unwrap());
    reference::assert_close(
        &result.values,
        &reference::compute("softmax", &wide, &[100_000, 7], &[1]),
        "<f4",
    );
}
