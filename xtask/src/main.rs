//! What is built and tested besides the crates.
//!
//!     cargo xtask web                 web/dist: the page for browsers
//!     cargo xtask serve [PORT]        the page at http://localhost:PORT, 8080 unless told
//!     cargo xtask web-test            the page and the agreement suite in headless Chromium

mod page;
mod server;
mod web_test;

use anyhow::{Context, Result, bail};

const USAGE: &str = "usage: cargo xtask web | serve [PORT] | web-test";

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
        _ => bail!(USAGE),
    }
}

fn serve(port: u16) -> Result<()> {
    let folder = page::build()?;
    let server = server::Server::at(port, folder)?;
    println!("http://localhost:{}", server.port());
    server.run();
    Ok(())
}
