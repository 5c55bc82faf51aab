//! What is built and tested besides the crates.
//!
//!     cargo xtask web                 web/dist: the page for browsers
//!     cargo xtask serve [PORT]        the page at http://localhost:PORT, 8080 unless told
//!     cargo xtask web-test            the page and the agreement suite in headless Chromium
//!     cargo xtask shaders             what every compiler says of the shaders; --install gets those compilers that
//!                                     are missing, --sample puts only some shaders to the slow ones, --checked takes
//!                                     the shaders with naga's checks

mod page;
mod server;
mod shaders;
mod web_test;

use anyhow::{Context, Result, bail};

const USAGE: &str =
    "usage: cargo xtask web | serve [PORT] | web-test | shaders [--install] [--sample] [--checked]";

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["web"] => {
            let folder = page::build()?;
            println!("built {}", folder.display());
            Ok(())
        }
        ["serve"] => serve(8080),
        ["serve", port] => serve(port.parse().with_context(|| format!("{port} is no port"))?),
        ["web-test"] => web_test::run(),
        ["shaders", ref options @ ..] => shaders::run(&shader_options(options)?),
        _ => bail!(USAGE),
    }
}

fn serve(port: u16) -> Result<()> {
    let folder = page::build()?;
    let server = server::Server::at(port, folder)?;
    println!("http://localhost:{}", server.port()?);
    server.run()
}

fn shader_options(words: &[&str]) -> Result<shaders::Options> {
    if let Some(unknown) = words.iter().find(|word| !["--install", "--sample", "--checked"].contains(word)) {
        bail!("there is no {unknown}; {USAGE}");
    }
    let has = |word| words.contains(&word);
    Ok(shaders::Options { install: has("--install"), sample: has("--sample"), checked: has("--checked") })
}
