//! What validators need, from where a machine gets its programs.

use std::process::Command;

use anyhow::{Result, ensure};

use super::validators::{self, DAWN_PACKAGE, PROGRAMS, dawn_folder};
use crate::page;

/// Installs what is missing and can be installed.
pub fn missing() -> Result<()> {
    if validators::all().iter().all(|validator| validator.version().is_ok()) {
        return Ok(());
    }
    install_from_debian()?;
    // By npm, which may have come only now.
    page::fetch(DAWN_PACKAGE, &dawn_folder())
}

fn install_from_debian() -> Result<()> {
    let missing = PROGRAMS.iter().filter(|(program, _)| !is_there(program));
    let packages: Vec<&str> = missing.flat_map(|(_, packages)| *packages).copied().collect();
    if packages.is_empty() {
        return Ok(());
    }
    ensure!(
        is_there("apt-get"),
        "there is no apt-get here; install by hand what is listed without --install"
    );
    as_root(&["apt-get", "update", "-q"])?;
    let install = [
        "env",
        "DEBIAN_FRONTEND=noninteractive",
        "apt-get",
        "install",
        "-y",
        "-q",
        "--no-install-recommends",
    ];
    as_root(&[&install[..], &packages[..]].concat())
}

fn is_there(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success())
}

fn as_root(words: &[&str]) -> Result<()> {
    let user = Command::new("id").arg("-u").output()?;
    let sudo: &[&str] = if user.stdout.starts_with(b"0\n") { &[] } else { &["sudo"] };
    let words = [sudo, words].concat();
    page::run(Command::new(words[0]).args(&words[1..]))
}
