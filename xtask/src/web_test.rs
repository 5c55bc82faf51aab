//! The tests in a browser: playwright drives Chromium with its software adapter, and the program says what is right.

use std::process::Command;
use std::{env, fs, thread};

use anyhow::{Context, Result};

use crate::page;
use crate::server::Server;

/// What drives the browser; npm fetches it on the first run.
const DRIVER: &str = "playwright-core@1.65.1";

/// Builds what is tested, serves it, and runs `web/tests/main.mjs`. `CHROMIUM` names the browser.
pub fn run() -> Result<()> {
    let root = page::root().canonicalize()?;
    let folder = root.join("target/web-test");
    let site = folder.join("site");
    page::fresh(&site)?;
    page::copy(&page::build()?, &site)?;
    let agreement = site.join("agreement");
    fs::create_dir_all(&agreement)?;
    page::bind(&["agreement"], &agreement)?;
    fs::write(agreement.join("index.html"), "<!doctype html><title>Agreement</title>")?;

    let mut cargo = Command::new(env!("CARGO"));
    page::run(
        cargo.args(["build", "--release", "--locked", "--package", "wgpu-softmax-cli"]).current_dir(&root),
    )?;
    page::fetch(DRIVER, &folder)?;
    // Modules are looked for beside the script.
    for entry in fs::read_dir(root.join("web/tests")).context("web/tests could not be read")? {
        let entry = entry?;
        fs::copy(entry.path(), folder.join(entry.file_name()))?;
    }

    let server = Server::at(0, site)?;
    let address = format!("http://localhost:{}", server.port()?);
    // It ends with this program.
    thread::spawn(move || server.run());
    let program = root.join("target/release").join(format!("wgpu-softmax{}", env::consts::EXE_SUFFIX));
    let mut node = Command::new("node");
    node.arg("main.mjs")
        .env("ADDRESS", address)
        .env("PROGRAM", program)
        .env("DATA", root.join("examples/data"));
    page::run(node.current_dir(&folder))
}
