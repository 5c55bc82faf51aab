//! What judges a shader: programs that are called with files, and say which they refuse and why.

mod browser;
mod metal;
mod microsoft;
mod vulkan;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, bail, ensure};
use rayon::prelude::*;

use super::languages::Resolved;
use crate::page;

/// npm's package of Dawn, which is Chromium's WebGPU, for Node: the browser's compiler is in it, and Microsoft's lie beside.
pub const DAWN_PACKAGE: &str = "webgpu@0.6.2";

/// Where npm leaves the package, which is never committed: Microsoft's compilers are Microsoft's.
pub fn dawn_folder() -> PathBuf {
    page::root().join("target/dawn")
}

/// A file of the package.
fn in_dawn(name: &str) -> PathBuf {
    dawn_folder().join("node_modules/webgpu").join(name)
}

/// A text that is put to a validator: its name, and its file.
pub struct Subject {
    pub name: String,
    pub file: PathBuf,
}

impl Subject {
    /// Puts a text into the file.
    fn written(name: &str, file: PathBuf, text: &str) -> Result<Subject> {
        fs::write(&file, text)?;
        Ok(Subject { name: name.to_string(), file })
    }
}

/// Nothing, or the validator's words.
pub type Verdict = Result<(), String>;

/// A shader on its way to the validators.
pub struct Shader<'a> {
    pub name: &'a str,
    pub resolved: &'a Resolved,
    /// What a browser gets.
    pub browser_source: &'a str,
    pub subgroups: bool,
}

pub trait Validator: Sync {
    /// The column's heading, and the folder of its files.
    fn name(&self) -> &'static str;

    /// The validator's own words on its version; an error where it is not on this machine.
    fn version(&self) -> Result<String>;

    /// How to get it.
    fn source(&self) -> &'static str;

    /// Whether a text takes it about a second.
    fn is_slow(&self) -> bool {
        false
    }

    /// Whether a shader is for devices that have this validator's compiler.
    fn takes(&self, _shader: &Shader<'_>) -> bool {
        true
    }

    /// Writes a shader into the folder, in the validator's language.
    fn write(&self, shader: &Shader<'_>, folder: &Path) -> Result<PathBuf>;

    /// Writes texts that it must refuse into the folder, made of one that it should accept where that is the way to
    /// find out. Each has a name that says what is wrong.
    fn wrong(&self, right: &Path, folder: &Path) -> Result<Vec<Subject>>;

    /// A verdict on each.
    fn judge(&self, subjects: &[Subject], folder: &Path) -> Result<Vec<Verdict>>;
}

/// All of them, in the order of the table, the slow ones last.
pub fn all() -> Vec<Box<dyn Validator>> {
    vec![
        Box::new(vulkan::SpirvVal { name: "spirv-1.3", version: (1, 3), environment: "vulkan1.1" }),
        Box::new(vulkan::SpirvVal { name: "spirv-1.6", version: (1, 6), environment: "vulkan1.3" }),
        Box::new(metal::StandIn),
        Box::new(browser::Tint),
        Box::new(microsoft::Compiler::DXC_6_0),
        Box::new(microsoft::Compiler::DXC_6_2),
        Box::new(microsoft::Compiler::FXC_5_1),
    ]
}

/// Programs that the validators are, or need, and where Debian and its like keep them.
pub const PROGRAMS: [(&str, &[&str]); 6] = [
    ("spirv-val", &["spirv-tools"]),
    ("clang++", &["clang"]),
    ("node", &["nodejs"]),
    ("npm", &["npm"]),
    ("wine", &["wine", "wine64"]),
    (microsoft::LINKER, &["gcc-mingw-w64-x86-64-posix"]),
];

/// One process for each file, as many at once as there are cores.
fn one_by_one(subjects: &[Subject], command: impl Fn(&Path) -> Command + Sync) -> Result<Vec<Verdict>> {
    subjects.par_iter().map(|subject| Ok(verdict(&finished(&mut command(&subject.file))?))).collect()
}

fn finished(command: &mut Command) -> Result<Output> {
    let program = command.get_program().to_string_lossy().into_owned();
    command.stdin(Stdio::null()).output().with_context(|| format!("{program} could not be started"))
}

/// Accepted is what ends well and without a warning.
fn verdict(output: &Output) -> Verdict {
    let words = [&output.stderr[..], &output.stdout[..]].map(String::from_utf8_lossy);
    if output.status.success() && output.stderr.is_empty() {
        return Ok(());
    }
    let words = words.join("\n").trim().to_string();
    Err(if words.is_empty() { output.status.to_string() } else { words })
}

/// What a program says, or leaves in a file, that is asked about many files: see `compile_hlsl.c`.
fn verdicts(said: &str, subjects: usize, output: &Output) -> Result<Vec<Verdict>> {
    let mut verdicts = Vec::new();
    let mut lines = said.lines().map(|line| line.trim_end_matches('\r'));
    while let Some(line) = lines.next() {
        match line.split_once(' ') {
            Some(("accepted", _)) => verdicts.push(Ok(())),
            Some(("refused", _)) => {
                let words: Vec<&str> = lines.by_ref().take_while(|line| *line != ".").collect();
                verdicts.push(Err(words.join("\n").trim().to_string()));
            }
            _ => bail!("the compiler's program says {line}"),
        }
    }
    let complaints = String::from_utf8_lossy(&output.stderr);
    ensure!(verdicts.len() == subjects, "the compiler's program ended early: {said}{complaints}");
    Ok(verdicts)
}

/// The first line that a program says when it is asked for its version.
fn first_line_of(command: &mut Command) -> Result<String> {
    let output = finished(command)?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default().to_string())
}
