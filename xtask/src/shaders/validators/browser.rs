//! WGSL as browsers get it, judged by tint, which is what Chromium has: stricter than naga on uniformity and constants.
//!
//! It is a part of Dawn, and runs under Node in a small script (`judge_wgsl.mjs`) that asks it about many files.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};
use rayon::prelude::*;

use super::{DAWN_PACKAGE, Shader, Subject, Validator, Verdict, finished, first_line_of, in_dawn, verdicts};
use crate::page;

pub struct Tint;

/// Texts that one process takes: thousands of modules are much to keep.
const AT_ONCE: usize = 500;

/// The first major version that Dawn's package is for.
const OLDEST_NODE: u32 = 18;

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
        let module = module();
        ensure!(module.exists(), "{} is not there", module.display());
        let node = first_line_of(Command::new("node").arg("--version"))?;
        let major = node.trim_start_matches('v').split('.').next().and_then(|major| major.parse().ok());
        let is_new = major.is_some_and(|major: u32| major >= OLDEST_NODE);
        ensure!(is_new, "Node is {node}, and Dawn's package is for {OLDEST_NODE} and later ones");
        Ok(format!("tint of Dawn in npm's {DAWN_PACKAGE}, Node {node}"))
    }

    fn source(&self) -> &'static str {
        "Dawn for Node: npm install --prefix target/dawn --ignore-scripts webgpu@0.6.2, \
         and apt-get install nodejs"
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

    fn judge(&self, subjects: &[Subject], folder: &Path) -> Result<Vec<Verdict>> {
        let parts = subjects.par_chunks(AT_ONCE).enumerate();
        let parts: Vec<Vec<Verdict>> = parts
            .map(|(part, subjects)| {
                let [list, told] = ["list", "verdicts"].map(|name| folder.join(format!("{name}-{part}")));
                let lines = subjects.iter().map(|subject| format!("{}\n", subject.file.display()));
                fs::write(&list, lines.collect::<String>())?;
                // Not those of an earlier run, should this one leave none.
                fs::write(&told, "")?;
                let mut node = Command::new("node");
                node.arg(page::root().join("xtask/src/shaders/judge_wgsl.mjs")).arg(module());
                let output = finished(node.arg(&list).arg(&told))?;
                verdicts(&fs::read_to_string(&told)?, subjects.len(), &output)
            })
            .collect::<Result<_>>()?;
        Ok(parts.concat())
    }
}

fn module() -> PathBuf {
    in_dawn("index.js")
}
