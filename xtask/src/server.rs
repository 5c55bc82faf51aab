//! A folder's files over HTTP, to this machine alone.

use std::net::TcpListener;
use std::path::PathBuf;

use anyhow::{Context, Result};
use axum::Router;
use axum::http::{HeaderValue, header};
use tower_http::services::ServeDir;
use tower_http::set_header::SetResponseHeaderLayer;

pub struct Server {
    listener: TcpListener,
    folder: PathBuf,
}

impl Server {
    /// Listens; port 0 is any that is free.
    pub fn at(port: u16, folder: PathBuf) -> Result<Server> {
        let listener = TcpListener::bind(("localhost", port))
            .with_context(|| format!("cannot listen on port {port}: name another one"))?;
        Ok(Server { listener, folder })
    }

    pub fn port(&self) -> Result<u16> {
        Ok(self.listener.local_addr()?.port())
    }

    /// Answers for as long as the program runs.
    #[tokio::main]
    pub async fn run(self) -> Result<()> {
        // What was built anew is to be seen at once.
        let always_asked = HeaderValue::from_static("no-cache");
        let files = Router::new()
            .fallback_service(ServeDir::new(self.folder))
            .layer(SetResponseHeaderLayer::overriding(header::CACHE_CONTROL, always_asked));
        self.listener.set_nonblocking(true)?;
        let listener = tokio::net::TcpListener::from_std(self.listener)?;
        Ok(axum::serve(listener, files).await?)
    }
}
