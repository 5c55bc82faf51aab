//! HLSL, judged by Microsoft's compilers, which wgpu gives it to on DX12.
//!
//! They are Windows libraries, which Dawn's package brings along, and run under Wine in a small program
//! (`compile_hlsl.c`) that asks them about many files.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use naga::back::hlsl::ShaderModel;
use rayon::prelude::*;

use super::{
    DAWN_PACKAGE, Shader, Subject, Validator, Verdict, dawn_folder, finished, first_line_of, in_dawn,
    verdicts,
};
use crate::page;

pub const LINKER: &str = "x86_64-w64-mingw32-gcc-posix";

/// One compiler with one profile.
pub struct Compiler {
    name: &'static str,
    profile: &'static str,
    shader_model: ShaderModel,
    dll: &'static str,
    has_subgroups: bool,
}

impl Compiler {
    pub const FXC_5_1: Compiler = Compiler {
        name: "fxc-cs_5_1",
        profile: "cs_5_1",
        shader_model: ShaderModel::V5_1,
        dll: FXC,
        has_subgroups: false,
    };
    pub const DXC_6_0: Compiler = Compiler {
        name: "dxc-cs_6_0",
        profile: "cs_6_0",
        shader_model: ShaderModel::V6_0,
        dll: DXC,
        has_subgroups: true,
    };
    pub const DXC_6_2: Compiler = Compiler {
        name: "dxc-cs_6_2",
        profile: "cs_6_2",
        shader_model: ShaderModel::V6_2,
        dll: DXC,
        has_subgroups: true,
    };
}

/// Texts that one process takes, which takes a moment to start.
const AT_ONCE: usize = 20;

const FXC: &str = "d3dcompiler_47.dll";
const DXC: &str = "dxcompiler.dll";

fn dll(name: &str) -> PathBuf {
    in_dawn("dist/win32-x64").join(name)
}

impl Validator for Compiler {
    fn name(&self) -> &'static str {
        self.name
    }

    fn version(&self) -> Result<String> {
        let file = dll(self.dll);
        ensure!(file.exists(), "{} is not there", file.display());
        first_line_of(Command::new(LINKER).arg("--version"))?;
        let wine = first_line_of(Command::new("wine").arg("--version").env("WINEDEBUG", "-all"))?;
        let version = file_version(&fs::read(&file)?).context("the compiler states no version")?;
        Ok(format!("{} {version} of npm's {DAWN_PACKAGE}, {wine}", self.dll))
    }

    fn source(&self) -> &'static str {
        "Microsoft's compilers: npm install --prefix target/dawn --ignore-scripts webgpu@0.6.2, \
         and apt-get install wine wine64 gcc-mingw-w64-x86-64-posix"
    }

    fn is_slow(&self) -> bool {
        true
    }

    fn takes(&self, shader: &Shader<'_>) -> bool {
        self.has_subgroups || !shader.subgroups
    }

    fn write(&self, shader: &Shader<'_>, folder: &Path) -> Result<PathBuf> {
        let translation = shader.resolved.hlsl(self.shader_model)?;
        // The program takes the entry point from the file's name.
        let file = folder.join(format!("{}.{}.hlsl", translation.entry_point, shader.name));
        fs::write(&file, translation.source)?;
        Ok(file)
    }

    fn wrong(&self, right: &Path, folder: &Path) -> Result<Vec<Subject>> {
        let entry = right.file_name().and_then(|name| name.to_str()?.split('.').next());
        let entry = entry.context("the file has no entry point")?;
        let right = fs::read_to_string(right)?;
        let unknown =
            format!("{right}\nuint wrong(uint number) {{ return nothing_of_this_name + number; }}\n");
        // Of a later shader model, which it says where it knows the word, and otherwise that it does not.
        let (what, later) = match self.has_subgroups {
            true => ("an instruction of model 6.6", "unpack_u8u32((uint8_t4_packed)at.x)"),
            false => ("a subgroup's instruction", "WaveReadLaneAt(at.xxxx, at.x ^ 1)"),
        };
        let later = format!(
            "RWByteAddressBuffer result : register(u0);\n[numthreads(64, 1, 1)]\n\
             void {entry}(uint3 at : SV_DispatchThreadID) {{ result.Store4(at.x * 16, {later}); }}\n"
        );
        let wrong = [("a name nothing has", unknown), (what, later)];
        wrong
            .into_iter()
            .map(|(name, text)| {
                let file = folder.join(format!("{entry}.{}.hlsl", name.replace(' ', "_")));
                Subject::written(name, file, &text)
            })
            .collect()
    }

    fn judge(&self, subjects: &[Subject], folder: &Path) -> Result<Vec<Verdict>> {
        let accepted = Accepted::by(self)?;
        let mut verdicts: Vec<Option<Verdict>> = subjects
            .iter()
            .map(|subject| Ok(accepted.contains(subject)?.then_some(Ok(()))))
            .collect::<Result<_>>()?;
        let open: Vec<usize> = (0..subjects.len()).filter(|&subject| verdicts[subject].is_none()).collect();
        let asked: Vec<&Subject> = open.iter().map(|&subject| &subjects[subject]).collect();
        for (subject, verdict) in open.into_iter().zip(self.ask(&asked, folder, &accepted)?) {
            verdicts[subject] = Some(verdict);
        }
        Ok(verdicts.into_iter().flatten().collect())
    }
}

impl Compiler {
    fn ask(&self, subjects: &[&Subject], folder: &Path, accepted: &Accepted) -> Result<Vec<Verdict>> {
        let program = program()?;
        let parts = subjects.par_chunks(AT_ONCE).enumerate();
        let parts: Vec<Vec<Verdict>> = parts
            .map(|(part, subjects)| {
                let list = folder.join(format!("list-{part}"));
                let lines =
                    subjects.iter().map(|subject| format!("{} {}\n", self.profile, subject.file.display()));
                fs::write(&list, lines.collect::<String>())?;
                let mut wine = wine();
                wine.arg(&program).arg(dll(FXC)).arg(dll(DXC)).arg(&list);
                let output = finished(&mut wine)?;
                let said = String::from_utf8_lossy(&output.stdout).into_owned();
                let verdicts = verdicts(&said, subjects.len(), &output)?;
                for (subject, _) in subjects.iter().zip(&verdicts).filter(|(_, verdict)| verdict.is_ok()) {
                    accepted.insert(subject)?;
                }
                Ok(verdicts)
            })
            .collect::<Result<_>>()?;
        Ok(parts.concat())
    }
}

/// What a compiler has accepted in earlier runs, as empty files: it takes seconds for a text, and says the same again.
/// Refusals are asked for anew.
struct Accepted {
    folder: PathBuf,
    /// Of all that a verdict depends on besides the text.
    seed: u64,
}

impl Accepted {
    fn by(compiler: &Compiler) -> Result<Accepted> {
        let folder = dawn_folder().join("accepted").join(compiler.name);
        fs::create_dir_all(&folder)?;
        let mut seed = DefaultHasher::new();
        (fs::read(dll(compiler.dll))?, fs::read(program_source())?, compiler.profile).hash(&mut seed);
        Ok(Accepted { folder, seed: seed.finish() })
    }

    fn file(&self, subject: &Subject) -> Result<PathBuf> {
        let mut hash = DefaultHasher::new();
        (self.seed, fs::read(&subject.file)?, subject.file.file_name()).hash(&mut hash);
        Ok(self.folder.join(format!("{:016x}", hash.finish())))
    }

    fn contains(&self, subject: &Subject) -> Result<bool> {
        Ok(self.file(subject)?.exists())
    }

    fn insert(&self, subject: &Subject) -> Result<()> {
        Ok(fs::write(self.file(subject)?, "")?)
    }
}

/// Builds the program that asks the compilers.
fn program() -> Result<PathBuf> {
    let program = dawn_folder().join("compile_hlsl.exe");
    let switches = ["-O2", "-Wall", "-Wextra", "-Werror", "-o"];
    page::run(Command::new(LINKER).args(switches).arg(&program).arg(program_source()))?;
    // Wine makes its folder on its first start, which two at once cannot do.
    finished(wine().args(["cmd", "/c", "exit"]))?;
    Ok(program)
}

fn program_source() -> PathBuf {
    page::root().join("xtask/src/shaders/compile_hlsl.c")
}

/// Wine in a folder of its own, silent, with Microsoft's compiler and not its own.
fn wine() -> Command {
    let mut wine = Command::new("wine");
    wine.env("WINEPREFIX", dawn_folder().join("wine"));
    wine.env("WINEDEBUG", "-all").env("WINEDLLOVERRIDES", "d3dcompiler_47=n;mscoree=;mshtml=");
    wine
}

/// The version that stands in a Windows library's resources: behind a fixed number, as four halves of words.
fn file_version(library: &[u8]) -> Option<String> {
    const SIGNATURE: [u8; 8] = [0xbd, 0x04, 0xef, 0xfe, 0, 0, 1, 0];
    let at = library.windows(SIGNATURE.len()).position(|window| window == SIGNATURE)?;
    let halves: Vec<u16> = (library.get(at + 8..at + 16)?)
        .chunks_exact(2)
        .map(|half| u16::from_le_bytes([half[0], half[1]]))
        .collect();
    Some(format!("{}.{}.{}.{}", halves[1], halves[0], halves[3], halves[2]))
}
