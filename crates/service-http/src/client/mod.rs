//! A client for the services, over HTTP and HTTPS: for the console, the command line and health checks.

mod connector;
mod error;
mod request;

use std::time::Duration;

use axum::{
    body::Bytes,
    http::{HeaderMap, Method, Uri},
};
use http_body_util::Full;
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioTimer},
};

use self::connector::Connector;
use crate::ClientTls;

pub use error::HttpError;
pub use request::{HttpRequest, HttpResponse};

/// A client with a pool of connections, which clones share. It follows no redirections and uses no proxy.
#[derive(Debug, Clone)]
pub struct HttpClient(Client<Connector, Full<Bytes>>);

impl HttpClient {
    /// Creates a client. `tls` says which certificates it trusts at `https` addresses: none, if it is `None`.
    /// `connect_timeout` is the time limit for opening a connection, with its handshake.
    #[must_use]
    pub fn new(tls: Option<ClientTls>, connect_timeout: Duration) -> Self {
        let connector = Connector::new(&tls.unwrap_or_else(ClientTls::without_roots), connect_timeout);
        Self(Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(connector))
    }

    /// Returns a request for an absolute URL. A URL that is wrong is an error of [`HttpRequest::send`].
    pub fn request(&self, method: Method, url: &str) -> HttpRequest {
        HttpRequest {
            client: self.clone(),
            method,
            url: url.parse::<Uri>().map_err(|error| error.to_string()),
            headers: HeaderMap::new(),
            body: Bytes::new(),
            timeout: None,
        }
    }
}
