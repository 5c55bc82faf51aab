//! SPIR-V, judged by Khronos's validator against what a version of Vulkan takes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::{Shader, Subject, Validator, Verdict, first_line_of, one_by_one};

/// `spirv-val`, for devices of one version of Vulkan: wgpu writes 1.6 for Vulkan 1.3, and 1.3 for Vulkan 1.1, the
/// oldest that has subgroups.
pub struct SpirvVal {
    pub name: &'static str,
    pub version: (u8, u8),
    pub environment: &'static str,
}

/// An instruction's opcode is the lower half of its first word, its number of words the upper.
const OP_STORE: u32 = 62;

/// Words in front of the first instruction.
const HEADER: usize = 5;

impl Validator for SpirvVal {
    fn name(&self) -> &'static str {
        self.name
    }

    fn version(&self) -> Result<String> {
        first_line_of(Command::new("spirv-val").arg("--version"))
    }

    fn source(&self) -> &'static str {
        "spirv-val, of SPIRV-Tools: apt-get install spirv-tools"
    }

    fn write(&self, shader: &Shader<'_>, folder: &Path) -> Result<PathBuf> {
        let file = folder.join(format!("{}.spv", shader.name));
        write_words(&file, &shader.resolved.spirv(self.version, shader.subgroups)?)?;
        Ok(file)
    }

    fn wrong(&self, right: &Path, folder: &Path) -> Result<Vec<Subject>> {
        let bytes = fs::read(right)?;
        let words: Vec<u32> = bytes
            .chunks_exact(4)
            .map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]]))
            .collect();
        let mut at = HEADER;
        while words.get(at).context("the module stores nothing")? & 0xffff != OP_STORE {
            at += (words[at] >> 16).max(1) as usize;
        }
        // A pointer in place of what is stored through it.
        let mut mistyped = words.clone();
        mistyped[at + 2] = words[at + 1];
        // The end is missing.
        let cut = &words[..at];
        let file = |name: &str| folder.join(format!("{name}.spv"));
        let wrong = [("a pointer stored as a number", &mistyped[..]), ("half a module", cut)];
        for (name, words) in wrong {
            write_words(&file(name), words)?;
        }
        Ok(wrong.map(|(name, _)| Subject { name: name.to_string(), file: file(name) }).into())
    }

    fn judge(&self, subjects: &[Subject], _folder: &Path) -> Result<Vec<Verdict>> {
        one_by_one(subjects, |file| {
            let mut command = Command::new("spirv-val");
            command.args(["--target-env", self.environment]).arg(file);
            command
        })
    }
}

fn write_words(file: &Path, words: &[u32]) -> Result<()> {
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    Ok(fs::write(file, bytes)?)
}
