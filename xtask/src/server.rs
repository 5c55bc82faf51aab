//! A folder's files over HTTP, to this machine alone.

use std::path::{Component, Path, PathBuf};
use std::{fs, io};

use anyhow::{Result, anyhow};
use tiny_http::{Header, Request, Response};

pub struct Server {
    http: tiny_http::Server,
    folder: PathBuf,
}

impl Server {
    /// Listens; port 0 is any that is free.
    pub fn at(port: u16, folder: PathBuf) -> Result<Server> {
        let http = tiny_http::Server::http(("localhost", port))
            .map_err(|error| anyhow!("cannot listen on port {port}: {error}; name another one"))?;
        Ok(Server { http, folder })
    }

    pub fn port(&self) -> u16 {
        self.http.server_addr().to_ip().map_or(0, |address| address.port())
    }

    /// Answers for as long as the program runs.
    pub fn run(&self) {
        for request in self.http.incoming_requests() {
            // A browser that has gone away meanwhile is its own affair.
            let _ = self.answer(request);
        }
    }

    fn answer(&self, request: Request) -> io::Result<()> {
        let url = request.url().split(['?', '#']).next().unwrap_or_default().to_string();
        let Some((path, bytes)) = self.file(&url) else {
            return request.respond(Response::from_string("no such file").with_status_code(404));
        };
        let header = |name: &str, value: &str| Header::from_bytes(name, value).ok();
        let headers = [header("Content-Type", content_type(&path)), header("Cache-Control", "no-cache")];
        let response = headers.into_iter().flatten().fold(Response::from_data(bytes), Response::with_header);
        request.respond(response)
    }

    /// A file within the folder, and nothing beyond it.
    fn file(&self, url: &str) -> Option<(PathBuf, Vec<u8>)> {
        let path = Path::new(url.trim_start_matches('/'));
        if !path.components().all(|part| matches!(part, Component::Normal(_))) {
            return None;
        }
        let path = self.folder.join(path);
        let path = if path.is_dir() { path.join("index.html") } else { path };
        fs::read(&path).ok().map(|bytes| (path, bytes))
    }
}

fn content_type(path: &Path) -> &'static str {
    match path.extension().and_then(|ending| ending.to_str()) {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript",
        Some("css") => "text/css",
        Some("wasm") => "application/wasm",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    }
}
