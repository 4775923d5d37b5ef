use axum::http::HeaderMap;

use crate::{FieldErrors, Problem};

/// Returns the value of the header `Idempotency-Key`, if the request has one.
///
/// # Errors
/// If it is not text.
pub fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    let text = std::str::from_utf8(value.as_bytes());
    text.map(Some).map_err(|_| Problem::unprocessable(FieldErrors::of("Idempotency-Key", "must be text in UTF-8")))
}

/// Returns the refusal of an idempotency key that was used for a request with other content.
#[must_use]
pub fn key_reused() -> Problem {
    Problem::unprocessable(FieldErrors::of("idempotency_key", "was used for a request with other content"))
}
