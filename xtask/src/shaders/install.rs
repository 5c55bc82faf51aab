//! What validators need, from where a machine gets its programs.

use std::process::Command;

use anyhow::{Result, ensure};

use super::validators::{self, DEBIAN_PACKAGES, MICROSOFT_PACKAGE, microsoft_folder};
use crate::page;

/// Installs what is missing and can be installed.
pub fn missing() -> Result<()> {
    let is_missing = || validators::all().iter().any(|validator| validator.version().is_err());
    if !is_missing() {
        return Ok(());
    }
    page::fetch(MICROSOFT_PACKAGE, &microsoft_folder())?;
    if !is_missing() {
        return Ok(());
    }
    ensure!(
        Command::new("apt-get").arg("--version").output().is_ok(),
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
    as_root(&[&install[..], &DEBIAN_PACKAGES[..]].concat())
}

fn as_root(words: &[&str]) -> Result<()> {
    let user = Command::new("id").arg("-u").output()?;
    let sudo: &[&str] = if user.stdout.starts_with(b"0\n") { &[] } else { &["sudo"] };
    let words = [sudo, words].concat();
    page::run(Command::new(words[0]).args(&words[1..]))
}
