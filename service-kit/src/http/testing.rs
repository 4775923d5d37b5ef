//! For the tests of this module: requests without a network, and the log as text.

use std::{
    io,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::Request,
    http::{HeaderMap, header},
};
use serde_json::Value;
use tower::ServiceExt;
use tracing::subscriber::DefaultGuard;

/// Status, headers and body of the answer; a body that is not declared as JSON as a string.
pub(crate) async fn send(router: &Router, request: Request) -> (u16, HeaderMap, Value) {
    let response = router.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    let json =
        parts.headers.get(header::CONTENT_TYPE).is_some_and(|content_type| content_type.as_bytes().ends_with(b"json"));
    let body = if json { serde_json::from_slice(&body).unwrap() } else { String::from_utf8_lossy(&body).into() };
    (parts.status.as_u16(), parts.headers, body)
}

pub(crate) async fn get(router: &Router, uri: &str) -> (u16, HeaderMap, Value) {
    send(router, Request::get(uri).body(Body::empty()).unwrap()).await
}

/// What this thread logs until the guard is dropped.
pub(crate) fn log() -> (Log, DefaultGuard) {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::DEBUG)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    (log, tracing::subscriber::set_default(subscriber))
}

#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    pub(crate) fn lines(&self) -> Vec<String> {
        String::from_utf8_lossy(&self.0.lock().unwrap()).lines().map(str::to_owned).collect()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
