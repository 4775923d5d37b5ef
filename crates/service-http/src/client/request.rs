use std::time::Duration;

use axum::{
    body::Bytes,
    http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri, header},
};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use serde::{Serialize, de::DeserializeOwned};
use tokio::time::{Instant, timeout_at};

use super::{HttpClient, HttpError, error::causes};

/// A request that can be sent once.
#[derive(Debug)]
#[must_use = "a request does nothing until it is sent"]
pub struct HttpRequest {
    pub(super) client: HttpClient,
    pub(super) method: Method,
    /// Or why it is wrong, or why the body or a header is.
    pub(super) url: Result<Uri, String>,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) timeout: Option<Duration>,
}

/// A response whose body is still to be read.
#[derive(Debug)]
pub struct HttpResponse {
    status: StatusCode,
    headers: HeaderMap,
    body: Incoming,
    deadline: Deadline,
}

/// Until when a request has to be answered, with its body.
#[derive(Debug)]
struct Deadline {
    address: String,
    at: Option<(Instant, Duration)>,
}

impl HttpRequest {
    /// Sets the time limit for the response, with its body. Without one, there is no limit.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Adds a header.
    pub fn header(mut self, name: HeaderName, value: &str) -> Self {
        match HeaderValue::from_str(value) {
            Ok(value) => drop(self.headers.insert(name, value)),
            Err(error) => self.url = Err(format!("{name}: {error}")),
        }
        self
    }

    /// Adds a bearer token, which is not logged.
    pub fn bearer_auth(mut self, token: &str) -> Self {
        self = self.header(header::AUTHORIZATION, &format!("Bearer {token}"));
        if let Some(value) = self.headers.get_mut(header::AUTHORIZATION) {
            value.set_sensitive(true);
        }
        self
    }

    /// Adds a body.
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// Adds `body` as JSON.
    pub fn json(mut self, body: &impl Serialize) -> Self {
        match serde_json::to_vec(body) {
            Ok(body) => self.body = body.into(),
            Err(error) => self.url = Err(error.to_string()),
        }
        self.header(header::CONTENT_TYPE, "application/json")
    }

    /// Sends it, and returns the response whatever its status is.
    ///
    /// # Errors
    /// If there is no connection, or no response in time.
    pub async fn send(self) -> Result<HttpResponse, HttpError> {
        let url = self.url.map_err(HttpError::Invalid)?;
        let address = url.authority().map(ToString::to_string).unwrap_or_default();
        let at = self.timeout.map(|timeout| (Instant::now() + timeout, timeout));
        let deadline = Deadline { address, at };
        let mut request = Request::new(Full::new(self.body));
        (*request.method_mut(), *request.uri_mut(), *request.headers_mut()) = (self.method, url, self.headers);
        let response = deadline.keep(self.client.0.request(request)).await?;
        let (head, body) = response.map_err(|error| HttpError::of(&deadline.address, &error))?.into_parts();
        Ok(HttpResponse { status: head.status, headers: head.headers, body, deadline })
    }
}

impl HttpResponse {
    /// Returns the status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Returns the headers.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// Reads the body.
    ///
    /// # Errors
    /// If the connection breaks, or it takes too long.
    pub async fn bytes(self) -> Result<Bytes, HttpError> {
        let Self { body, deadline, .. } = self;
        let body = deadline.keep(body.collect()).await?;
        let broken = |error| HttpError::Broken { cause: causes(&error), address: deadline.address };
        Ok(body.map_err(broken)?.to_bytes())
    }

    /// Reads the body as text.
    ///
    /// # Errors
    /// As for [`Self::bytes`].
    pub async fn text(self) -> Result<String, HttpError> {
        Ok(String::from_utf8_lossy(&self.bytes().await?).into_owned())
    }

    /// Reads the body as JSON.
    ///
    /// # Errors
    /// As for [`Self::bytes`], and if it is another JSON or none.
    pub async fn json<T: DeserializeOwned>(self) -> Result<T, HttpError> {
        Ok(serde_json::from_slice(&self.bytes().await?)?)
    }
}

impl Deadline {
    async fn keep<T>(&self, work: impl Future<Output = T>) -> Result<T, HttpError> {
        match self.at {
            None => Ok(work.await),
            Some((at, timeout)) => {
                timeout_at(at, work).await.map_err(|_| HttpError::TimedOut { address: self.address.clone(), timeout })
            }
        }
    }
}
