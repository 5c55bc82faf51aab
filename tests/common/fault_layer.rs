//! The Vulkan layer that makes a driver fail on request (`tests/fault_layer/faults.c`): built with the system's C
//! compiler, and loaded into child processes, since the Vulkan loader reads its environment once.

use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use std::{fs, thread};

const NAME: &str = "VK_LAYER_WGPU_SOFTMAX_faults";

/// The variable in which a child finds the layer: only children have it.
pub const PATH: &str = "FAULT_LAYER";

/// Builds the layer and its manifest in a folder of their own, once a process.
fn built() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let source = Path::new(file!()).with_file_name("../fault_layer/faults.c");
        let source = workspace().join(source);
        let folder = std::env::temp_dir().join(format!("wgpu-softmax-faults-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
        let options = "-std=c11 -D_POSIX_C_SOURCE=200809L -Wall -Wextra -Werror -shared -fPIC -O1";
        let compiled = Command::new(&compiler)
            .args(options.split(' '))
            .arg("-o")
            .arg(library(&folder))
            .arg(&source)
            .output()
            .unwrap_or_else(|error| {
                panic!(
                    "the fault layer needs a C compiler, and {compiler:?} does not start ({error}): install gcc or \
                     clang with the C library's headers (Debian: gcc libc6-dev), or set CC"
                )
            });
        assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
        let manifest = format!(
            r#"{{"file_format_version": "1.2.0", "layer": {{"name": "{NAME}", "type": "GLOBAL",
            "library_path": {:?}, "api_version": "1.3.0", "implementation_version": "1",
            "description": "fails on request"}}}}"#,
            library(&folder)
        );
        fs::write(folder.join("faults.json"), manifest).unwrap();
        folder
    })
}

/// The folder that the paths of source files start from.
fn workspace() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let found = package.ancestors().find(|folder| folder.join("tests/fault_layer/faults.c").exists());
    found.unwrap().to_path_buf()
}

fn library(folder: &Path) -> PathBuf {
    folder.join("libfaults.so")
}

/// Lets a command's Vulkan go through the layer.
pub fn between(command: &mut Command) -> &mut Command {
    let folder = built();
    command.env("VK_LAYER_PATH", folder).env("VK_INSTANCE_LAYERS", NAME).env(PATH, library(folder))
}

/// Longer than any child takes that does not hang, however busy the machine.
const LIMIT: Duration = Duration::from_secs(600);

/// Ends a child that takes longer than that: whether it had to.
pub fn hangs(child: &mut Child) -> bool {
    let start = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if start.elapsed() > LIMIT {
            child.kill().unwrap();
            child.wait().unwrap();
            return true;
        }
        thread::sleep(Duration::from_millis(5));
    }
    false
}
