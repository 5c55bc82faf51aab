//! Input that cannot be read: one line that says why, status 3, nothing written, and no memory spent on
//! what a header merely claims.

use crate::{Folder, npy, run, run_with_input};

/// Both by name and by standard input.
#[track_caller]
fn refused(file: &[u8], reason: &str) {
    let folder = Folder::new();
    let input = folder.file("in.npy", file);
    let output = folder.name("out.npy");
    let by_name = run(&["run", &input, "-o", &output]).failed(3);
    let by_pipe = run_with_input(&["run", "-", "-o", &output], file).failed(3);
    assert!(by_name.contains(&input) && by_pipe.contains("standard input"), "{by_name}\n{by_pipe}");
    for error in [by_name, by_pipe] {
        assert!(error.contains(reason), "{error}");
    }
    assert_eq!(folder.names(), ["in.npy"]);
}

#[test]
fn files_that_are_something_else() {
    refused(b"", "it is empty");
    refused(b"0.1 0.2 0.7\n", "not a .npy file");
    refused(b"\x93NUM", "cut off");
    refused(b"PK\x03\x04junk and more of it", ".npz");
    refused(&npy::with_header(9, "{}", &[]), "version is 9");
    refused(&vec![0; 100_000], "not a .npy file");
}

#[test]
fn no_file() {
    let error = run(&["run", "/nonexistent/in.npy"]).failed(3);
    assert!(error.contains("/nonexistent/in.npy") && error.contains("no such file"), "{error}");
    let folder = Folder::new();
    let error = run(&["run", folder.path().to_str().unwrap()]).failed(3);
    assert!(error.contains("is a directory"), "{error}");
    let below_a_file = format!("{}/in.npy", folder.file("file", b""));
    run(&["run", &below_a_file]).failed(3);
}

#[test]
fn data_that_is_too_short_or_too_long() {
    let whole = npy::f32_file(&[100, 7], &[0.5; 700]);
    refused(&whole[..whole.len() - 1], "cut off");
    refused(&whole[..whole.len() - 2800], "2800 bytes of data, and there are 0: it is cut off");
    refused(&[&whole[..], b"\n"].concat(), "after its array");
    refused(&[&whole[..], &whole].concat(), "after its array");
    for end in [7, 8, 9, 10, 11, 60, 127] {
        refused(&whole[..end], "cut off");
    }
    refused(&npy::f32_file(&[0, 7], &[0.5]), "after its array");
}

#[test]
fn elements_that_are_no_logits() {
    refused(&npy::file("|O", false, &[2], b"\x80\x04K\x01."), "Python objects");
    refused(&npy::file("<c8", false, &[1], &[0; 8]), "complex");
    refused(&npy::file("<c16", false, &[1], &[0; 16]), "complex");
    refused(&npy::file("<U3", false, &[1], &[0; 12]), "text");
    refused(&npy::file("|S3", false, &[1], &[0; 3]), "text");
    refused(&npy::file("<f16", false, &[1], &[0; 16]), "extended-precision");
    refused(&npy::file("<M8[ns]", false, &[1], &[0; 8]), "times");
    refused(&npy::file("|V4", false, &[1], &[0; 4]), "not read here");
    let records = "{'descr': [('a', '<f4'), ('b', '<i4', (2,))], 'fortran_order': False, 'shape': (1,), }";
    refused(&npy::with_header(1, records, &[0; 12]), "records");
    refused(&npy::file("|b1", false, &[2], &[0, 7]), "bool");
}

#[test]
fn headers_that_are_damaged() {
    for header in [
        "",
        "nonsense",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), ",
        "{'descr': '<f4', 'fortran_order': False}",
        "{'descr': '<f4', 'fortran_order': 7, 'shape': (2,), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': 2, }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (-2,), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2.5,), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': ('2',), }",
        "{'descr': '<q9', 'fortran_order': False, 'shape': (2,), }",
        "{'descr': 4, 'fortran_order': False, 'shape': (2,), }",
        "{'descr': '<f4\u{1b}[31m\\n', 'fortran_order': False, 'shape': (2,), }",
        "(2,)",
    ] {
        refused(&npy::with_header(1, header, &[0; 8]), "cannot read");
    }
    let brackets = "(".repeat(60_000);
    refused(&npy::with_header(1, &brackets, &[]), "damaged");
    let dimensions = "1,".repeat(70);
    let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({dimensions}), }}");
    refused(&npy::with_header(1, &header, &[0; 4]), "70 dimensions");
}

#[test]
fn sizes_that_nothing_holds() {
    // 10 TB, of which nothing is there.
    refused(&npy::file("<f4", false, &[10_000, 250_000_000], &[0; 40]), "cut off");
    refused(&npy::file("<f8", true, &[1 << 40], &[0; 40]), "cut off");
    for lengths in [
        "4294967296, 4294967296",
        "18446744073709551615",
        "0, 4294967296, 4294967296",
        "99999999999999999999999",
    ] {
        let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({lengths},), }}");
        refused(&npy::with_header(1, &header, &[0; 8]), "more elements than any memory holds");
    }
    // A header that claims to be 4 GiB long itself.
    let mut file = b"\x93NUMPY\x02\x00".to_vec();
    file.extend(u32::MAX.to_le_bytes());
    file.extend(b"{'descr': '<f4'");
    refused(&file, "4294967295 bytes");
}

/// An existing result survives a failure of any kind.
#[test]
fn nothing_is_half_written() {
    let folder = Folder::new();
    let whole = npy::f32_file(&[100, 7], &[0.5; 700]);
    let output = folder.file("out.npy", b"what was there");
    for input in [&whole[..200], &whole[..whole.len() - 1], b"junk"] {
        run_with_input(&["run", "-", "-o", &output], input).failed(3);
        assert_eq!(std::fs::read(&output).unwrap(), b"what was there");
    }
    assert_eq!(folder.names(), ["out.npy"]);
}

/// Any single byte of the header changed: an answer of some kind, and never a crash.
#[test]
fn bytes_changed_here_and_there() {
    let whole = npy::f32_file(&[3, 4], &[1.0; 12]);
    for place in (0..127).step_by(3) {
        let mut changed = whole.clone();
        changed[place] ^= 0x15;
        let ran = run_with_input(&["run", "-", "--device", "cpu"], &changed);
        assert!(matches!(ran.status, 0 | 3), "{place}: {}", ran.stderr);
    }
}

/// With 1 GiB of address space, a claim of terabytes is refused for what it is.
#[cfg(target_os = "linux")]
#[test]
fn no_memory_is_spent_on_claims() {
    let folder = Folder::new();
    let files = [
        npy::file("<f4", false, &[10_000, 250_000_000], &[0; 4000]),
        npy::file("<f2", true, &[1 << 42], &[]),
    ];
    for file in files {
        folder.file("in.npy", &file);
        for line in [
            "ulimit -v 1048576; exec \"$PROGRAM\" run in.npy --device cpu",
            "ulimit -v 1048576; exec \"$PROGRAM\" run - --device cpu < in.npy",
        ] {
            let error = crate::shell(line, folder.path()).failed(3);
            assert!(error.contains("cut off"), "{error}");
        }
    }
}

#[cfg(unix)]
mod unix {
    use std::path::Path;

    use crate::{feed, program};

    /// Names with anything in them stay within their line.
    #[test]
    fn a_name_with_a_line_break() {
        let error = feed(program().args(["run", "no\nwhere\u{1b}[2J.npy"]), b"").failed(3);
        assert!(error.contains("no\\nwhere\\u{1b}[2J.npy"), "{error}");
        assert!(!Path::new("no\nwhere").exists());
    }
}
