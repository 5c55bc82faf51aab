//! The Metal Shading Language, which is C++ with a library: judged by Clang with a header that stands in for that
//! library. So names, types and overloads are checked; address spaces are not, and it is no compile for Metal.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use rayon::prelude::*;

use super::{Shader, Subject, Validator, Verdict, finished, first_line_of, verdict};
use crate::page;

pub struct StandIn;

/// Files that one process takes, which costs more to start than a file does.
const AT_ONCE: usize = 16;

impl Validator for StandIn {
    fn name(&self) -> &'static str {
        "msl-stand-in"
    }

    fn version(&self) -> Result<String> {
        first_line_of(Command::new("clang++").arg("--version"))
    }

    fn source(&self) -> &'static str {
        "clang++: apt-get install clang"
    }

    fn write(&self, shader: &Shader<'_>, folder: &Path) -> Result<PathBuf> {
        let file = folder.join(format!("{}.metal", shader.name));
        fs::write(&file, shader.resolved.msl()?.source)?;
        Ok(file)
    }

    fn wrong(&self, right: &Path, folder: &Path) -> Result<Vec<Subject>> {
        let right = fs::read_to_string(right)?;
        let wrong = [
            (
                "a function Metal has not",
                "uint wrong(uint number) { return metal::no_such_function(number); }",
            ),
            ("a vector of another length", "metal::uint4 wrong(metal::uint3 number) { return number; }"),
            (
                "bits as a vector",
                "metal::float2 wrong(uint number) { return as_type<metal::float2>(number); }",
            ),
            ("numbers for bits", "metal::float4 wrong(metal::float4 number) { return number & 1u; }"),
        ];
        wrong
            .into_iter()
            .map(|(name, text)| {
                let file = folder.join(format!("{name}.metal"));
                Subject::written(name, file, &format!("{right}\n{text}\n"))
            })
            .collect()
    }

    fn judge(&self, subjects: &[Subject], _folder: &Path) -> Result<Vec<Verdict>> {
        let parts: Vec<Vec<Verdict>> =
            subjects.par_chunks(AT_ONCE).map(judge_together).collect::<Result<_>>()?;
        Ok(parts.concat())
    }
}

/// All at once, and each alone where that is not accepted.
fn judge_together(subjects: &[Subject]) -> Result<Vec<Verdict>> {
    let judged = |subjects: &[Subject]| -> Result<Verdict> {
        let mut clang = Command::new("clang++");
        clang.args(["-std=c++20", "-fsyntax-only", "-x", "c++"]);
        // Metal has no double: 1.0 is a float.
        clang.args(["-Xclang", "-cl-single-precision-constant"]);
        // Clang does not know that buffers have numbers, nor that an array in one is as long as the buffer.
        clang.args(["-Wno-unknown-attributes", "-Wno-array-bounds", "-isystem"]);
        clang.arg(page::root().join("xtask/src/shaders/metal"));
        clang.args(subjects.iter().map(|subject| &subject.file));
        Ok(verdict(&finished(&mut clang)?))
    };
    match judged(subjects)? {
        Ok(()) => Ok(vec![Ok(()); subjects.len()]),
        Err(_) => subjects.iter().map(|subject| judged(std::slice::from_ref(subject))).collect(),
    }
}
