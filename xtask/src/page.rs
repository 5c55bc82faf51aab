//! Building the page: the crate in `web/` to WebAssembly, its bindings, and the files that are served as they are.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use anyhow::{Context, Result, ensure};
use wasm_bindgen_cli_support::Bindgen;

const TARGET: &str = "wasm32-unknown-unknown";

const NAME: &str = "wgpu_softmax_web";

/// The repository's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Builds `web/dist`.
pub fn build() -> Result<PathBuf> {
    let folder = root().join("web/dist");
    fresh(&folder)?;
    bind(&[], &folder)?;
    copy(&root().join("web/page"), &folder)?;
    Ok(folder)
}

/// Compiles the crate with some features, and leaves the module with its bindings in a folder.
pub fn bind(features: &[&str], folder: &Path) -> Result<()> {
    require_target()?;
    let target = root().join("target/web");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--release", "--locked", "--target", TARGET, "--features", &features.join(",")]);
    cargo.arg("--manifest-path").arg(root().join("web/Cargo.toml"));
    cargo.arg("--target-dir").arg(&target);
    run(&mut cargo)?;
    let module = target.join(TARGET).join("release").join(NAME).with_extension("wasm");
    let mut bindgen = Bindgen::new();
    bindgen.input_path(module).typescript(false).omit_default_module_path(false).web(true)?;
    bindgen.generate(folder).context("the bindings could not be made")
}

/// Runs a command to its end.
pub fn run(command: &mut Command) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let status = command.status().with_context(|| format!("{program} could not be started"))?;
    ensure!(status.success(), "{program} ended with {status}");
    Ok(())
}

/// Has npm put a package, of a version, into a folder, unless it is there.
pub fn fetch(package: &str, folder: &Path) -> Result<()> {
    let name = package.split('@').next().unwrap_or(package);
    if folder.join("node_modules").join(name).exists() {
        return Ok(());
    }
    fs::create_dir_all(folder)?;
    fs::write(folder.join("package.json"), "{ \"private\": true }")?;
    let npm = if cfg!(windows) { "npm.cmd" } else { "npm" };
    let arguments = ["install", "--no-package-lock", "--ignore-scripts", package];
    run(Command::new(npm).args(arguments).current_dir(folder))
}

/// An empty folder.
pub fn fresh(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("{} is in the way", folder.display()))?;
    }
    fs::create_dir_all(folder).with_context(|| format!("{} could not be made", folder.display()))
}

/// Copies the files of one folder to another.
pub fn copy(from: &Path, to: &Path) -> Result<()> {
    for entry in fs::read_dir(from).with_context(|| format!("{} could not be read", from.display()))? {
        let entry = entry?;
        fs::copy(entry.path(), to.join(entry.file_name()))?;
    }
    Ok(())
}

/// rustc's own message about a standard library that is missing does not say what to do where rustup is at hand.
fn require_target() -> Result<()> {
    let Ok(listed) = Command::new("rustup").args(["target", "list", "--installed"]).output() else {
        return Ok(());
    };
    let there = !listed.status.success() || String::from_utf8_lossy(&listed.stdout).contains(TARGET);
    ensure!(there, "the standard library for browsers is missing: rustup target add {TARGET}");
    Ok(())
}
