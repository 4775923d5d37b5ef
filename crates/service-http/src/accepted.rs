use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use serde::Serialize;

/// Returns a response of status 202 with `value` as JSON. Its end, or its current state, is at the path `location`.
#[must_use]
pub fn accepted(location: &str, value: &impl Serialize) -> Response {
    let mut response = (StatusCode::ACCEPTED, Json(value)).into_response();
    if let Ok(location) = HeaderValue::from_str(location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}
