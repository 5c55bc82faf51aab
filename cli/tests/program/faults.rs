//! A device that fails under the program: a status, one line that says why, and no file that is half written.

use std::fs;
use std::process::Stdio;

use crate::fault_layer::{between, hangs};
use crate::{Folder, Ran, has_adapter, npy, program};

/// A run on the best adapter, with `fault` provoked in it: how it ended, and what stands in its folder then.
fn run_with(fault: &str, arguments: &[&str], folder: &Folder) -> Ran {
    let mut command = program();
    between(&mut command).env("FAULT", fault).args(arguments).current_dir(folder.path());
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let hung = hangs(&mut child);
    let output = child.wait_with_output().unwrap();
    assert!(!hung, "{fault}: {}", String::from_utf8_lossy(&output.stderr));
    output.into()
}

fn input() -> Folder {
    let folder = Folder::new();
    let logits: Vec<f32> = (0..40_000).map(|place| (place % 97) as f32 / 7.0).collect();
    folder.file("in.npy", &npy::f32_file(&[400, 100], &logits));
    folder
}

/// Each `n` in turn, until the program needs no more calls than that: then its result is the right one.
#[test]
fn every_loss_ends_with_status_4_and_without_a_file() {
    if !has_adapter() {
        return;
    }
    let folder = input();
    let arguments = ["run", "in.npy", "-o", "out.npy", "--device", "gpu"];
    run_with("none 1 1 lost", &arguments, &folder).succeeded();
    let expected = fs::read(folder.join("out.npy")).unwrap();
    for kind in ["submit", "wait"] {
        for nth in 1.. {
            assert!(nth < 50);
            fs::remove_file(folder.join("out.npy")).unwrap();
            let ran = run_with(&format!("{kind} {nth} 1000 lost"), &arguments, &folder);
            if ran.status == 0 {
                assert!(nth > 1, "no {kind} failed");
                assert!(fs::read(folder.join("out.npy")).unwrap() == expected);
                break;
            }
            let error = ran.failed(4);
            assert!(error.contains("the device was lost"), "{error}");
            assert_eq!(folder.names(), ["in.npy"], "{kind} {nth}");
            folder.file("out.npy", &[]);
        }
    }
}

#[test]
fn a_silent_device_ends_with_status_4_in_time() {
    if !has_adapter() {
        return;
    }
    let folder = input();
    let arguments = ["run", "in.npy", "-o", "out.npy", "--device", "gpu", "--timeout", "0.3"];
    for fault in ["submit 1 1000 never", "submit 3 1000 never"] {
        let error = run_with(fault, &arguments, &folder).failed(4);
        assert!(error.contains("within 0.3 s") && error.contains("--timeout"), "{error}");
        assert_eq!(folder.names(), ["in.npy"]);
    }
    // What asks a device for longer than a run does waits as patiently.
    let measured = ["bench", "--devices", "gpu", "--ops", "softmax", "--shapes", "8x8", "--timeout", "0.3"];
    let tuned = ["tune", "--lengths", "8", "--timeout", "0.3"];
    for arguments in [&measured[..], &tuned] {
        let error = run_with("submit 3 1000 never", arguments, &folder).failed(4);
        assert!(error.contains("within 0.3 s") && error.contains("--timeout"), "{error}");
    }
    run_with("submit 1 1000 never", &["devices", "--timeout", "0.3"], &folder).succeeded();
}

#[test]
fn exhausted_memory_ends_with_status_4_or_on_the_cpu() {
    if !has_adapter() {
        return;
    }
    let folder = input();
    let arguments = ["run", "in.npy", "-o", "out.npy", "--device"];
    // So early that there is no device, and so late that there is one, with nothing left for the data.
    for nth in [1, 12] {
        let fault = format!("allocate {nth} 1000 device-memory");
        let error = run_with(&fault, &[&arguments[..], &["gpu"]].concat(), &folder).failed(4);
        assert!(error.contains("memory"), "{error}");
        assert_eq!(folder.names(), ["in.npy"]);
    }
    // Where the driver calls itself a discrete GPU, auto takes it, and the CPU when that has no memory.
    let auto = [&arguments[..], &["auto"]].concat();
    let mut command = program();
    between(&mut command).env("FAULT_DISCRETE", "1").env("FAULT", "allocate 12 1000 device-memory");
    Ran::from(command.args(auto).current_dir(folder.path()).output().unwrap()).succeeded();
    assert_eq!(folder.names(), ["in.npy", "out.npy"]);
}
