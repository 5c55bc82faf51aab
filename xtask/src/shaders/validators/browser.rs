//! WGSL as browsers get it, judged by tint, which is what Chromium has: stricter than naga on uniformity and constants.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::{Shader, Subject, Validator, Verdict, finished, one_by_one};

pub struct Tint;

/// A barrier that not all invocations reach, which naga accepts.
const DIVERGENT_BARRIER: &str = "
var<workgroup> shared_word: u32;
@group(0) @binding(0) var<storage, read_write> result: array<u32>;
@compute @workgroup_size(64) fn divergent(@builtin(local_invocation_index) lane: u32) {
    shared_word = lane;
    if lane < 3u { workgroupBarrier(); }
    result[lane] = shared_word;
}";

impl Validator for Tint {
    fn name(&self) -> &'static str {
        "tint"
    }

    fn version(&self) -> Result<String> {
        finished(Command::new("tint").arg("--help"))?;
        Ok("tint, which states no version".to_string())
    }

    fn source(&self) -> &'static str {
        "tint: no package has it; build it from Dawn's source (https://dawn.googlesource.com/dawn) into the PATH"
    }

    fn write(&self, shader: &Shader<'_>, folder: &Path) -> Result<PathBuf> {
        let file = folder.join(format!("{}.wgsl", shader.name));
        fs::write(&file, shader.browser_source)?;
        Ok(file)
    }

    fn wrong(&self, right: &Path, folder: &Path) -> Result<Vec<Subject>> {
        let right = fs::read_to_string(right)?;
        let mistyped = format!("{right}\nfn wrong(number: f32) -> u32 {{ return number; }}\n");
        let wrong =
            [("a barrier not all reach", DIVERGENT_BARRIER), ("a number of the wrong type", &mistyped)];
        wrong
            .into_iter()
            .map(|(name, text)| Subject::written(name, folder.join(format!("{name}.wgsl")), text))
            .collect()
    }

    fn judge(&self, subjects: &[Subject], _folder: &Path) -> Result<Vec<Verdict>> {
        one_by_one(subjects, |file| {
            let mut command = Command::new("tint");
            command.args(["--format", "wgsl"]).arg(file);
            command
        })
    }
}
