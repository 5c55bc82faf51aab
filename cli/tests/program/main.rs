//! The program tested as a program: what is typed, what comes out on which stream, with which status.
//!
//! Expected values are computed here, in f64, by the definition; `.npy` files are written and read here too,
//! byte by byte, so that neither the library nor npyz vouches for itself. Tests that need an adapter pass
//! without one, unless `REQUIRE_GPU` is set: then its absence is a failure.

mod arrays;
mod axes;
mod bench;
mod command_line;
mod cross_entropy;
mod damaged;
mod derivatives;
mod devices;
mod explain;
#[cfg(target_os = "linux")]
mod faults;
mod half_precision;
mod jacobians;
mod larger;
mod masks;
mod npy;
mod output;
mod plots;
mod real_logits;
mod reference;
mod reports;
mod safetensors;
mod shaders;
mod streams;
mod tune;
mod weighted_sums;

#[cfg(target_os = "linux")]
#[path = "../../../tests/common/fault_layer.rs"]
#[allow(dead_code)]
mod fault_layer;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

/// The program, ready to be given arguments.
fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_wgpu-softmax"))
}

/// What came of a run.
#[derive(Debug)]
struct Ran {
    status: i32,
    stdout: Vec<u8>,
    stderr: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Ran {
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(!stderr.contains("panicked"), "{stderr}");
        Ran { status: output.status.code().unwrap_or(-1), stdout: output.stdout, stderr }
    }
}

impl Ran {
    fn text(&self) -> &str {
        std::str::from_utf8(&self.stdout).unwrap()
    }

    /// A run that ended well.
    #[track_caller]
    fn succeeded(self) -> Ran {
        assert_eq!(self.status, 0, "{}", self.stderr);
        self
    }

    /// A run that ended with `status`, nothing on standard output, and one line that says why.
    #[track_caller]
    fn failed(self, status: i32) -> String {
        assert_eq!(self.status, status, "{}", self.stderr);
        assert!(self.stdout.is_empty(), "{:?}", self.stdout);
        let (notes, errors): (Vec<&str>, Vec<&str>) =
            self.stderr.lines().partition(|line| line.starts_with("computing on "));
        assert!(notes.len() <= 1, "{}", self.stderr);
        let [error] = errors[..] else { panic!("not one line:\n{}", self.stderr) };
        assert!(error.starts_with("error: "), "{error}");
        error.to_string()
    }

    #[track_caller]
    fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.stdout).unwrap()
    }
}

fn run(arguments: &[&str]) -> Ran {
    program().args(arguments).stdin(Stdio::null()).output().unwrap().into()
}

fn run_with_input(arguments: &[&str], input: &[u8]) -> Ran {
    feed(program().args(arguments), input)
}

fn feed(command: &mut Command, input: &[u8]) -> Ran {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    // Whoever refuses its input early closes the pipe: no concern of this side.
    let feeder = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let ran = child.wait_with_output().unwrap().into();
    feeder.join().unwrap();
    ran
}

/// Runs a line of shell, in which `$PROGRAM` is the program.
#[cfg(unix)]
fn shell(line: &str, folder: &Path) -> Ran {
    let mut command = Command::new("sh");
    command.arg("-c").arg(line).current_dir(folder).stdin(Stdio::null());
    command.env("PROGRAM", env!("CARGO_BIN_EXE_wgpu-softmax")).output().unwrap().into()
}

/// The program where no driver is found.
fn without_adapters(arguments: &[&str]) -> Ran {
    let mut command = program();
    command.env("VK_DRIVER_FILES", "/nonexistent").env("VK_ICD_FILENAMES", "/nonexistent");
    command.args(arguments).stdin(Stdio::null()).output().unwrap().into()
}

/// Whether hiding the Vulkan drivers leaves nothing: elsewhere there is Metal or DX12.
const VULKAN_ALONE: bool = cfg!(target_os = "linux");

/// Whether there is an adapter to test on.
fn has_adapter() -> bool {
    static FOUND: OnceLock<bool> = OnceLock::new();
    let found = *FOUND.get_or_init(|| {
        let found = run(&["devices", "--json"]).succeeded().json();
        !found["adapters"].as_array().unwrap().is_empty()
    });
    assert!(
        found || std::env::var_os("REQUIRE_GPU").is_none(),
        "REQUIRE_GPU is set, and there is no adapter"
    );
    found
}

/// The devices that every operation is tried on.
fn devices() -> &'static [&'static str] {
    if has_adapter() { &["cpu", "gpu"] } else { &["cpu"] }
}

/// The arguments that choose a device. A GPU is asked for f32, whatever the input is.
fn on(device: &str) -> &'static [&'static str] {
    if device == "gpu" { &["--device", "gpu", "--dtype", "f32"] } else { &["--device", "cpu"] }
}

/// Runs on the CPU with the arguments given, and reads the result.
#[track_caller]
fn computed(arguments: &[&str]) -> npy::Array {
    computed_on("cpu", arguments)
}

/// Runs on a device with the arguments given, and reads the result.
#[track_caller]
fn computed_on(device: &str, arguments: &[&str]) -> npy::Array {
    let folder = Folder::new();
    let output = folder.name("out.npy");
    run(&[&["run"], arguments, &["-o", &output], on(device)].concat()).succeeded();
    npy::parse(&std::fs::read(output).unwrap())
}

/// One of the arrays that the repository ships.
fn example(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/data");
    folder.join(name).to_str().unwrap().to_string()
}

/// A folder of a test's own, and paths in it.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Folder {
        Folder(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn join(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    fn name(&self, name: &str) -> String {
        self.join(name).to_str().unwrap().to_string()
    }

    fn file(&self, name: &str, bytes: &[u8]) -> String {
        std::fs::write(self.join(name), bytes).unwrap();
        self.name(name)
    }

    /// The names of the files in it, sorted.
    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(self.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}
