//! Every shader text of the library, put to every compiler that a driver may have: what each accepts, in one table.
//!
//! Each validator also gets texts that are wrong on purpose, and must refuse them: one that accepts everything shows.

mod install;
mod languages;
mod table;
mod validators;

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use naga::FastHashMap;
use rayon::prelude::*;
use wgpu_softmax::{Dialect, ShaderText, shaders};

use languages::{Checks, Resolved};
use table::{Count, Table};
use validators::{Shader, Subject, Validator, Verdict};

use crate::page;

/// How many refusals of one validator are quoted in full.
const QUOTED: usize = 5;

/// Lines of a quotation.
const LINES: usize = 12;

/// Of how many texts of a kernel a slow compiler gets one, after the first so many, where a sample is to do.
const OF_SO_MANY: usize = 10;

/// What `cargo xtask shaders` may be told.
pub struct Options {
    /// Put only some of the texts to the slow compilers, which take more than half an hour for all of them on two
    /// cores, but for what they have accepted once.
    pub sample: bool,
    /// Install what is missing first, where a package manager has it.
    pub install: bool,
    /// With naga's checks of indices, loops and divisors, which the library leaves out by default.
    pub checked: bool,
}

/// Ends with an error where anything is refused that should not be, or accepted that should not be, or a validator
/// is missing.
pub fn run(options: &Options) -> Result<()> {
    if options.install {
        install::missing()?;
    }
    let checks = if options.checked { Checks::Checked } else { Checks::Trusted };
    let texts = shaders(Dialect::Native);
    let for_browsers = shaders(Dialect::Browser);
    println!(
        "{} texts, naga {}",
        texts.len(),
        if options.checked { "with checks" } else { "without checks, as by default" }
    );

    let mut table = Table::new(texts.iter().map(|text| text.entry_point));
    let mut faults = 0;
    let resolved: Vec<Result<Resolved>> = texts
        .par_iter()
        .zip(&for_browsers)
        .map(|(text, for_browsers)| Resolved::of(text, has_subgroups(for_browsers), checks))
        .collect();
    let verdicts: Vec<Verdict> = resolved
        .iter()
        .map(|resolved| resolved.as_ref().map(|_| ()).map_err(|error| format!("{error:#}")))
        .collect();
    let names: Vec<&str> = texts.iter().map(|text| text.name.as_str()).collect();
    faults += quote("naga", &names, &verdicts);
    faults += usize::from(!naga_refuses_what_is_wrong(&texts[0]));
    table.add("naga", counts(texts.iter().map(|text| text.entry_point), &verdicts));

    let shaders: Vec<(&ShaderText, Shader<'_>)> = texts
        .iter()
        .zip(&for_browsers)
        .zip(&resolved)
        .filter_map(|((text, for_browsers), resolved)| {
            let resolved = resolved.as_ref().ok()?;
            let subgroups = has_subgroups(for_browsers);
            Some((
                text,
                Shader { name: &text.name, resolved, browser_source: &for_browsers.source, subgroups },
            ))
        })
        .collect();
    let mut missing = Vec::new();
    for validator in validators::all() {
        match validator.version() {
            Ok(version) => {
                faults += put_to(&*validator, &version, &some(&shaders, &*validator, options), &mut table)?
            }
            Err(error) => {
                missing.push(format!("{}: {error:#}. It is {}", validator.name(), validator.source()))
            }
        }
    }

    println!("\nTexts accepted of those that were put to the validator:\n\n{table}");
    if options.sample {
        println!(
            "Microsoft's compilers got {OF_SO_MANY} texts of each kernel, and one in {OF_SO_MANY} of the others: \
             without `--sample` they judge all"
        );
    }
    for line in &missing {
        println!("missing: {line}");
    }
    if !missing.is_empty() {
        println!("`cargo xtask shaders --install` installs what apt-get and npm have of it");
    }
    ensure!(faults == 0, "{faults} verdicts are not what they should be");
    ensure!(missing.is_empty(), "{} validators are missing", missing.len());
    Ok(())
}

/// naga is asked before all others, by itself: what it refuses, nothing else gets.
fn naga_refuses_what_is_wrong(right: &ShaderText) -> bool {
    let mut wrong = right.clone();
    wrong.source += "\nfn wrong(number: f32) -> u32 { return number; }\n";
    let verdict = Resolved::of(&wrong, true, Checks::Trusted);
    match &verdict {
        Ok(_) => println!("\nnaga ACCEPTS a number of the wrong type, which it must refuse"),
        Err(error) => {
            println!(
                "\nnaga\n  refuses, as it must, a number of the wrong type: {}",
                first_error(&error.to_string())
            );
        }
    }
    verdict.is_err()
}

/// The library says so to browsers, which demand it.
fn has_subgroups(for_browsers: &ShaderText) -> bool {
    for_browsers.source.starts_with("enable subgroups;")
}

/// The texts that a validator gets: of each kernel some, evenly spread, where it is slow.
fn some<'a, 'b>(
    shaders: &'a [(&'b ShaderText, Shader<'b>)],
    validator: &dyn Validator,
    options: &Options,
) -> Vec<&'a (&'b ShaderText, Shader<'b>)> {
    let theirs = shaders.iter().filter(|(_, shader)| validator.takes(shader));
    if !options.sample || !validator.is_slow() {
        return theirs.collect();
    }
    let mut seen: FastHashMap<&str, usize> = FastHashMap::default();
    theirs
        .filter(|(text, _)| {
            let seen = seen.entry(text.entry_point).or_default();
            *seen += 1;
            *seen <= OF_SO_MANY || *seen % OF_SO_MANY == 1
        })
        .collect()
}

/// The number of verdicts of one validator that are not what they should be.
fn put_to(
    validator: &dyn Validator,
    version: &str,
    shaders: &[&(&ShaderText, Shader<'_>)],
    table: &mut Table,
) -> Result<usize> {
    let started = Instant::now();
    let folder = page::root().canonicalize()?.join("target/shaders").join(validator.name());
    page::fresh(&folder)?;
    let written: Vec<(&ShaderText, Result<PathBuf>)> =
        shaders.par_iter().map(|(text, shader)| (*text, validator.write(shader, &folder))).collect();

    // What naga cannot write is refused, too.
    let (mut subjects, mut entries, mut unwritten) = (Vec::new(), Vec::new(), Vec::new());
    for (text, file) in written {
        match file {
            Ok(file) => {
                subjects.push(Subject { name: text.name.clone(), file });
                entries.push(text.entry_point);
            }
            Err(error) => unwritten.push((text, format!("{error:#}"))),
        }
    }
    let right = subjects.first().context("nothing could be written")?;
    let wrong = wrong_ones(validator, &right.file, &folder)?;
    let mut verdicts = validator.judge(&subjects, &folder)?;
    let of_wrong = validator.judge(&wrong, &folder)?;

    let mut names: Vec<&str> = subjects.iter().map(|subject| subject.name.as_str()).collect();
    for (text, words) in &unwritten {
        names.push(&text.name);
        entries.push(text.entry_point);
        verdicts.push(Err(words.clone()));
    }
    println!("\n{}: {version}", validator.name());
    let mut faults = quote(validator.name(), &names, &verdicts);
    for (subject, verdict) in wrong.iter().zip(&of_wrong) {
        match verdict {
            Err(words) => println!("  refuses, as it must, {}: {}", subject.name, first_error(words)),
            Ok(()) => {
                println!("  ACCEPTS {}, which it must refuse", subject.name);
                faults += 1;
            }
        }
    }
    println!("  {} texts in {:.0} s", names.len(), started.elapsed().as_secs_f64());
    table.add(validator.name(), counts(entries.into_iter(), &verdicts));
    Ok(faults)
}

fn wrong_ones(validator: &dyn Validator, right: &Path, folder: &Path) -> Result<Vec<Subject>> {
    let folder = folder.join("wrong");
    page::fresh(&folder)?;
    let wrong = validator.wrong(right, &folder)?;
    ensure!(!wrong.is_empty(), "{} is not put to the test", validator.name());
    Ok(wrong)
}

/// Names every refusal, and quotes the first ones.
fn quote(validator: &str, names: &[&str], verdicts: &[Verdict]) -> usize {
    let refused =
        names.iter().zip(verdicts).filter_map(|(name, verdict)| Some((name, verdict.as_ref().err()?)));
    let mut count = 0;
    for (name, words) in refused {
        count += 1;
        println!("{validator} REFUSES {name}: {}", first_error(words));
        if count <= QUOTED {
            words.lines().take(LINES).for_each(|line| println!("    {line}"));
        }
    }
    count
}

/// The line that says most.
fn first_error(words: &str) -> &str {
    let telling = words.lines().find(|line| line.contains("error"));
    telling.or_else(|| words.lines().find(|line| !line.trim().is_empty())).unwrap_or_default().trim()
}

/// Accepted and judged texts of each entry point.
fn counts<'a>(entries: impl Iterator<Item = &'a str>, verdicts: &[Verdict]) -> FastHashMap<&'a str, Count> {
    let mut counts: FastHashMap<&str, Count> = FastHashMap::default();
    for (entry, verdict) in entries.zip(verdicts) {
        let count = counts.entry(entry).or_default();
        count.judged += 1;
        count.accepted += usize::from(verdict.is_ok());
    }
    counts
}
