use std::{
    collections::{HashMap, HashSet, VecDeque},
    io,
};

use axum::{
    Json,
    body::{Body, Bytes},
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use serde_json::{Value, json};

/// How the next POST goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It does not.
    None,
    /// It is carried out, and the connection breaks within the answer.
    LostAnswer,
    /// It is carried out, and no answer ever comes.
    NoAnswer,
    /// An error 500, after it was carried out or before. It is repeated for the idempotency key.
    Error {
        /// Whether it was carried out.
        done: bool,
    },
    /// Too many requests: nothing is done.
    RateLimit,
}

/// A status and a body.
pub(super) type Answer = (StatusCode, Value);

/// What Stripe keeps about requests.
#[derive(Debug, Default)]
pub(super) struct Requests {
    /// How the next ones go wrong.
    pub(super) faults: VecDeque<Fault>,
    /// The answers by idempotency key, with the request that they were for.
    pub(super) answers: HashMap<String, (String, Answer)>,
    /// Whether reads fail.
    pub(super) unavailable: bool,
    /// The idempotency keys and the objects of requests that run.
    pub(super) running: HashSet<String>,
}

impl Requests {
    /// Begins a request. Returns the answer if nothing is to be done.
    pub(super) fn begin(&mut self, key: &str, object: &str, request: &str) -> Option<Response> {
        if let Some((earlier, (status, body))) = self.answers.get(key) {
            if earlier != request {
                return Some(error(400, "idempotency_error", "idempotency_error", "other parameters").into_response());
            }
            return Some((*status, [("Idempotent-Replayed", "true")], Json(body.clone())).into_response());
        }
        if self.running.contains(key) {
            return Some(error(409, "idempotency_error", "idempotency_key_in_use", "it runs").into_response());
        }
        if self.running.contains(object) {
            return Some(error(429, "invalid_request_error", "lock_timeout", "the object is in use").into_response());
        }
        self.running.extend([key.to_owned(), object.to_owned()]);
        None
    }

    /// Ends a request. The answer is kept if the request was carried out, or failed after it had begun.
    pub(super) fn end(&mut self, key: &str, object: &str, request: String, answer: &Answer) {
        self.running.remove(key);
        self.running.remove(object);
        if answer.0 != StatusCode::BAD_REQUEST && answer.0 != StatusCode::NOT_FOUND {
            self.answers.insert(key.to_owned(), (request, answer.clone()));
        }
    }
}

/// An answer that is an error.
pub(super) struct ErrorAnswer(pub(super) Answer);

impl ErrorAnswer {
    pub(super) fn into_response(self) -> Response {
        let (status, body) = self.0;
        (status, Json(body)).into_response()
    }
}

pub(super) fn error(status: u16, kind: &str, code: &str, message: &str) -> ErrorAnswer {
    let body = json!({"error": {"type": kind, "code": code, "message": message}});
    ErrorAnswer((StatusCode::from_u16(status).unwrap(), body))
}

/// Too many requests, with the header that says how long to wait.
pub(super) fn rate_limit() -> Response {
    let ErrorAnswer((status, body)) = error(429, "invalid_request_error", "rate_limit", "too many requests");
    (status, [("Retry-After", "7")], Json(body)).into_response()
}

/// A response that ends with a broken connection.
pub(super) fn broken() -> Response {
    let parts = [Ok(Bytes::from_static(b"{")), Err(io::Error::other("the connection breaks"))];
    Response::new(Body::from_stream(futures::stream::iter(parts)))
}
