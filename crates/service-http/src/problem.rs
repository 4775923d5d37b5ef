use std::{borrow::Cow, fmt::Display};

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Serialize, Serializer};
use utoipa::ToSchema;

use super::{access::Scope, problem_kind::ProblemKind};

/// The media type of a [`Problem`].
pub const PROBLEM_JSON: &str = "application/problem+json";

/// The body of every error response (RFC 9457): why a request was refused or failed.
// As a response, it is also stored in the response's extensions, where the middleware finds it and fills in `instance`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Problem {
    /// The kind of problem, as the path of a page about it; `about:blank` if the status code is enough.
    #[serde(rename = "type")]
    #[schema(value_type = String, example = "/problems/validation")]
    kind: ProblemKind,
    /// The kind of problem in words.
    #[schema(value_type = String, example = "Invalid fields")]
    title: &'static str,
    /// The HTTP status.
    #[serde(serialize_with = "as_number")]
    #[schema(value_type = u16, example = 422)]
    status: StatusCode,
    /// What is wrong with this request, for a person to read.
    #[schema(value_type = String, example = "quantity: must be at least 1")]
    detail: Cow<'static, str>,
    /// The path of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "/api/v1/orders/")]
    instance: Option<Box<str>>,
    /// The trace that the request belongs to, if it has a `traceparent` or the service records traces.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "4bf92f3577b34da6a3ce929d0e0e4736", pattern = "^[0-9a-f]{32}$")]
    trace_id: Option<Box<str>>,
    /// The fields that are wrong; only with status 422.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldError>,
}

/// A field of a request, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldError {
    /// The path of the field, such as `items[0].quantity`.
    pub field: String,
    /// What is wrong with it, such as `must be at least 1`.
    pub detail: String,
}

fn as_number<S: Serializer>(status: &StatusCode, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u16(status.as_u16())
}

impl Problem {
    fn new(status: StatusCode, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::of_kind(ProblemKind::Blank, status, detail)
    }

    fn of_kind(kind: ProblemKind, status: StatusCode, detail: impl Into<Cow<'static, str>>) -> Self {
        let title = kind.title().or(status.canonical_reason()).unwrap_or("Error");
        Self { kind, title, status, detail: detail.into(), instance: None, trace_id: None, errors: Vec::new() }
    }

    /// 400: the request is malformed, or cannot be carried out.
    #[must_use]
    pub fn bad_request(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    /// 401: the API key or the admin token is missing, wrong, expired or revoked. It does not tell which.
    #[must_use]
    pub fn unauthorized() -> Self {
        Self::of_kind(ProblemKind::Unauthorized, StatusCode::UNAUTHORIZED, "needs a valid API key as bearer token")
    }

    /// 403: the API key is valid, but does not have the scope that this needs.
    #[must_use]
    pub fn insufficient_scope(needed: Scope) -> Self {
        let detail = format!("needs an API key with the scope {needed}; nothing was written");
        Self::of_kind(ProblemKind::InsufficientScope, StatusCode::FORBIDDEN, detail)
    }

    /// 429 with `Retry-After: 1`: the API key has sent more requests than it may in a second.
    #[must_use]
    pub fn rate_limited() -> Self {
        let detail = "the API key has sent more requests than it may in a second; nothing was written";
        Self::of_kind(ProblemKind::RateLimited, StatusCode::TOO_MANY_REQUESTS, detail)
    }

    /// 412: what was to be changed is not as `If-Match` or `If-None-Match` requires.
    #[must_use]
    pub fn precondition_failed(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::of_kind(ProblemKind::PreconditionFailed, StatusCode::PRECONDITION_FAILED, detail)
    }

    /// 404: nobody is an operator of this service.
    pub(crate) fn admin_is_off() -> Self {
        Self::not_found(
            "the admin endpoints are off: start the service with --admin-token (ADMIN_TOKEN) or \
             --admin-token-file (ADMIN_TOKEN_FILE) to turn them on",
        )
    }

    /// 403: a page of another site wants to change something.
    #[must_use]
    pub fn foreign_origin() -> Self {
        let detail = "a page of another origin may change nothing here; nothing was written";
        Self::of_kind(ProblemKind::ForeignOrigin, StatusCode::FORBIDDEN, detail)
    }

    /// 421: the service does not answer to the name in `Host`.
    #[must_use]
    pub fn unknown_host() -> Self {
        let detail = "this service does not answer to the name in Host; see --allowed-host";
        Self::of_kind(ProblemKind::UnknownHost, StatusCode::MISDIRECTED_REQUEST, detail)
    }

    /// 404: the resource does not exist.
    #[must_use]
    pub fn not_found(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    /// 405: the path exists, but not for this method.
    #[must_use]
    pub fn method_not_allowed() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "this path does not answer to this method")
    }

    /// 408: the body did not arrive in time.
    #[must_use]
    pub fn request_timeout() -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time")
    }

    /// 409: the resource is in a state that does not allow this.
    #[must_use]
    pub fn conflict(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::CONFLICT, detail)
    }

    /// 413: the body is larger than [`MAX_BODY_BYTES`](super::MAX_BODY_BYTES).
    #[must_use]
    pub fn too_large() -> Self {
        let detail = format!("the body must have at most {} bytes", super::MAX_BODY_BYTES);
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
    }

    /// 415: the body is not declared as JSON.
    #[must_use]
    pub fn unsupported_media_type() -> Self {
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "the content type must be application/json")
    }

    /// 422: the request is readable, but has wrong fields; all of them are listed.
    #[must_use]
    pub fn unprocessable(errors: FieldErrors) -> Self {
        let one = |FieldError { field, detail }: &FieldError| match field.as_str() {
            // An empty name means the body as a whole.
            "" => detail.clone(),
            field => format!("{field}: {detail}"),
        };
        let detail = errors.0.iter().map(one).collect::<Vec<_>>().join("; ");
        Self { errors: errors.0, ..Self::of_kind(ProblemKind::Validation, StatusCode::UNPROCESSABLE_ENTITY, detail) }
    }

    /// 500. It takes no cause, so that it cannot reveal one: log the cause where the error occurs.
    #[must_use]
    pub fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "the service failed unexpectedly")
    }

    /// 503 with `Retry-After: 1`: the service is overloaded, and nothing was written.
    #[must_use]
    pub fn overloaded(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::of_kind(ProblemKind::Overloaded, StatusCode::SERVICE_UNAVAILABLE, detail)
    }

    /// 503 with `Retry-After: 1`: something that the service depends on is unavailable.
    #[must_use]
    pub fn unavailable(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, detail)
    }

    /// Returns the problem for an error response that has only a status, such as axum's own 404.
    pub(crate) fn of_status(status: StatusCode) -> Self {
        match status {
            StatusCode::NOT_FOUND => Self::not_found("there is nothing at this path"),
            StatusCode::METHOD_NOT_ALLOWED => Self::method_not_allowed(),
            StatusCode::PAYLOAD_TOO_LARGE => Self::too_large(),
            StatusCode::UNSUPPORTED_MEDIA_TYPE => Self::unsupported_media_type(),
            StatusCode::UNAUTHORIZED => Self::unauthorized(),
            StatusCode::INTERNAL_SERVER_ERROR => Self::internal(),
            _ => Self::new(status, status.canonical_reason().unwrap_or("the request failed")),
        }
    }

    /// Sets `instance` to the path of the request.
    #[must_use]
    pub fn at(self, path: &str) -> Self {
        Self { instance: Some(path.into()), ..self }
    }

    /// Sets `trace_id` to the trace that the request belongs to.
    #[must_use]
    pub(crate) fn in_trace(self, trace_id: Option<&str>) -> Self {
        Self { trace_id: trace_id.map(Into::into), ..self }
    }

    /// Returns the HTTP status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Returns what is wrong, for a person to read.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// Returns the fields that are wrong, if the status is 422.
    #[must_use]
    pub fn errors(&self) -> &[FieldError] {
        &self.errors
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let json = serde_json::to_vec(&self).expect("strings and a number are always JSON");
        let mut response = (self.status, [(header::CONTENT_TYPE, PROBLEM_JSON)], json).into_response();
        let headers = response.headers_mut();
        match self.status {
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"))
            }
            StatusCode::UNAUTHORIZED => headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")),
            _ => None,
        };
        response.extensions_mut().insert(self);
        response
    }
}

/// Collects the errors of all fields of one request, so that the client gets all of them at once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FieldErrors(Vec<FieldError>);

impl FieldErrors {
    /// Creates a collection without errors.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Creates a collection with one error.
    pub fn of(field: impl Display, detail: impl Display) -> Self {
        let mut errors = Self::new();
        errors.push(field, detail);
        errors
    }

    /// Adds an error. For a nested field, pass a name like `format_args!("items[{i}].quantity")`.
    pub fn push(&mut self, field: impl Display, detail: impl Display) {
        self.0.push(FieldError { field: field.to_string(), detail: detail.to_string() });
    }

    /// Returns the value of `field`, or records its error and returns `None`.
    pub fn check<T, E: Display>(&mut self, field: impl Display, result: Result<T, E>) -> Option<T> {
        result.map_err(|error| self.push(field, error)).ok()
    }

    /// Returns whether there are no errors.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns an error if any field is wrong.
    ///
    /// # Errors
    /// A 422 with all wrong fields, if there are any.
    pub fn into_result(self) -> Result<(), Problem> {
        if self.is_empty() { Ok(()) } else { Err(Problem::unprocessable(self)) }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn all_wrong_fields_are_listed_at_once() {
        let mut errors = FieldErrors::new();
        assert_eq!(errors.clone().into_result(), Ok(()));
        assert_eq!(errors.check("quantity", "12".parse::<u8>()), Some(12));
        assert!(errors.is_empty());
        assert_eq!(errors.check::<u8, _>(format_args!("items[{}].item_sku", 3), Err("must not be blank")), None);
        errors.push("amount", "must be a number");
        let problem = errors.into_result().unwrap_err().at("/api/v1/orders");
        assert_eq!(
            serde_json::to_value(&problem).unwrap(),
            json!({
                "type": "/problems/validation", "title": "Invalid fields", "status": 422,
                "detail": "items[3].item_sku: must not be blank; amount: must be a number",
                "instance": "/api/v1/orders",
                "errors": [
                    {"field": "items[3].item_sku", "detail": "must not be blank"},
                    {"field": "amount", "detail": "must be a number"},
                ],
            })
        );
    }

    #[test]
    fn each_problem_has_its_status_and_headers() {
        for (problem, status, retry_after) in [
            (Problem::bad_request("x"), 400, None),
            (Problem::unauthorized(), 401, None),
            (Problem::insufficient_scope(Scope::OrdersRead), 403, None),
            (Problem::not_found("x"), 404, None),
            (Problem::method_not_allowed(), 405, None),
            (Problem::request_timeout(), 408, None),
            (Problem::conflict("x"), 409, None),
            (Problem::too_large(), 413, None),
            (Problem::unsupported_media_type(), 415, None),
            (Problem::rate_limited(), 429, Some("1")),
            (Problem::internal(), 500, None),
            (Problem::overloaded("x"), 503, Some("1")),
            (Problem::unavailable("x"), 503, Some("1")),
        ] {
            let response = problem.clone().into_response();
            assert_eq!(response.status().as_u16(), status);
            assert_eq!(serde_json::to_value(&problem).unwrap()["status"], status);
            assert_eq!(response.headers()["content-type"], PROBLEM_JSON);
            assert_eq!(response.headers().get("retry-after").map(|value| value.to_str().unwrap()), retry_after);
            assert_eq!(response.headers().contains_key("www-authenticate"), status == 401);
        }
    }
}
