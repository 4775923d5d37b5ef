//! Conditional requests (RFC 9110, 13): a client that has the current representation needs no body, and one that
//! changes something can say which representation it has seen.

mod etag;

use std::convert::Infallible;

use axum::{
    extract::FromRequestParts,
    http::{HeaderValue, StatusCode, header, request::Parts},
    response::{IntoResponse as _, Response},
};
use serde::Serialize;

use self::etag::{EntityTag, Tags};
use crate::{FieldErrors, Problem};

/// What a GET knows already, by its header `If-None-Match`. A value that cannot be read is ignored.
#[derive(Debug, Clone)]
pub struct Known(Option<Tags>);

impl<S: Send + Sync> FromRequestParts<S> for Known {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self(Tags::of(&parts.headers, &header::IF_NONE_MATCH).unwrap_or_default()))
    }
}

impl Known {
    /// Responds with `value` as JSON and its `ETag`; with 304 and no body if the client has it.
    #[must_use]
    pub fn respond(&self, value: &impl Serialize) -> Response {
        let is_known = |tag: &EntityTag| self.0.as_ref().is_some_and(|known| known.match_weakly(tag));
        match EntityTag::and_json(value) {
            Some((tag, _)) if is_known(&tag) => with_tag(&tag, StatusCode::NOT_MODIFIED.into_response()),
            Some((tag, json)) => with_tag(&tag, json_response(StatusCode::OK, json)),
            None => Problem::internal().into_response(),
        }
    }

    /// Responds with what was found, like [`respond`](Self::respond).
    ///
    /// # Errors
    /// If nothing was found: 404, with `unknown` as the detail.
    pub fn show<T: Serialize>(&self, found: Option<T>, unknown: &'static str) -> Result<Response, Problem> {
        found.map(|found| self.respond(&found)).ok_or_else(|| Problem::not_found(unknown))
    }
}

/// Returns a response with `value` as JSON, and its `ETag`.
#[must_use]
pub fn tagged(status: StatusCode, value: &impl Serialize) -> Response {
    match EntityTag::and_json(value) {
        Some((tag, json)) => with_tag(&tag, json_response(status, json)),
        None => Problem::internal().into_response(),
    }
}

fn json_response(status: StatusCode, json: Vec<u8>) -> Response {
    (status, [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], json).into_response()
}

fn with_tag(tag: &EntityTag, mut response: Response) -> Response {
    if let Some(tag) = tag.to_header() {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

/// What a request that changes something requires of the current representation, by its headers `If-Match` and
/// `If-None-Match`.
#[derive(Debug, Clone, Default)]
pub struct Preconditions {
    if_match: Option<Tags>,
    if_none_match: Option<Tags>,
}

/// Refuses with 422 a header that cannot be read: the client wants a condition, so the change is not made without one.
impl<S: Send + Sync> FromRequestParts<S> for Preconditions {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let mut errors = FieldErrors::new();
        let mut read = |name, label| {
            let tags = Tags::of(&parts.headers, &name).map_err(|()| "must be * or a list of entity tags in quotes");
            errors.check(label, tags).flatten()
        };
        let if_match = read(header::IF_MATCH, "If-Match");
        let if_none_match = read(header::IF_NONE_MATCH, "If-None-Match");
        errors.into_result()?;
        Ok(Self { if_match, if_none_match })
    }
}

impl Preconditions {
    /// Returns whether `current`, the representation that a GET would show now, is as required; `None` if there is
    /// none.
    #[must_use]
    pub fn hold<T: Serialize>(&self, current: Option<&T>) -> bool {
        if self.if_match.is_none() && self.if_none_match.is_none() {
            return true;
        }
        let current = current.and_then(|value| EntityTag::and_json(value)).map(|(tag, _)| tag);
        let is_matched = |tags: &Tags| current.as_ref().is_some_and(|tag| tags.match_strongly(tag));
        let is_new = |tags: &Tags| !current.as_ref().is_some_and(|tag| tags.match_weakly(tag));
        self.if_match.as_ref().is_none_or(is_matched) && self.if_none_match.as_ref().is_none_or(is_new)
    }
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderName, Request};
    use serde_json::{Value, json};

    use super::*;

    async fn preconditions(headers: &[(HeaderName, &str)]) -> Result<Preconditions, Problem> {
        let mut request = Request::builder();
        for (name, value) in headers {
            request = request.header(name, *value);
        }
        Preconditions::from_request_parts(&mut request.body(()).unwrap().into_parts().0, &()).await
    }

    #[tokio::test]
    async fn a_change_is_made_if_the_representation_is_as_required() {
        let (one, two) = (json!({"quantity": 1}), json!({"quantity": 2}));
        let tag = |value: &Value| {
            let tag = EntityTag::and_json(value).unwrap().0.to_header().unwrap();
            tag.to_str().unwrap().to_owned()
        };
        let both = format!("{}, {}", tag(&two), tag(&one));
        let weak = format!("W/{}", tag(&one));
        // With this header, whether it holds for `one`, for `two` and for nothing.
        for (headers, holds) in [
            (vec![], [true, true, true]),
            (vec![(header::IF_MATCH, "*")], [true, true, false]),
            (vec![(header::IF_MATCH, &*tag(&one))], [true, false, false]),
            (vec![(header::IF_MATCH, &*both)], [true, true, false]),
            (vec![(header::IF_MATCH, &*weak)], [false, false, false]),
            (vec![(header::IF_NONE_MATCH, "*")], [false, false, true]),
            (vec![(header::IF_NONE_MATCH, &*tag(&one))], [false, true, true]),
            (vec![(header::IF_NONE_MATCH, &*weak)], [false, true, true]),
            (vec![(header::IF_MATCH, "*"), (header::IF_NONE_MATCH, &*tag(&one))], [false, true, false]),
        ] {
            let preconditions = preconditions(&headers).await.unwrap();
            let held = [Some(&one), Some(&two), None].map(|current| preconditions.hold(current));
            assert_eq!(held, holds, "{headers:?}");
        }
        for name in [header::IF_MATCH, header::IF_NONE_MATCH] {
            assert!(preconditions(&[(name, &tag(&one)[1..])]).await.is_err());
        }
    }

    #[tokio::test]
    async fn who_has_the_current_representation_gets_no_body() {
        let (one, two) = (json!({"quantity": 1}), json!({"quantity": 2}));
        let get = async |known: Option<&str>| {
            let request = Request::builder();
            let request = known.map_or(Request::builder(), |known| request.header(header::IF_NONE_MATCH, known));
            let known = Known::from_request_parts(&mut request.body(()).unwrap().into_parts().0, &()).await.unwrap();
            let response = known.respond(&one);
            let (status, headers): (u16, HeaderMap) = (response.status().as_u16(), response.headers().clone());
            let body = axum::body::to_bytes(response.into_body(), 1_000).await.unwrap();
            (status, headers[header::ETAG].to_str().unwrap().to_owned(), body.len())
        };
        let (status, tag, length) = get(None).await;
        assert_eq!((status, length), (200, 14));
        for known in [&*tag, "*", &format!("W/{tag}"), &format!("\"x\", {tag}")] {
            assert_eq!(get(Some(known)).await, (304, tag.clone(), 0), "{known}");
        }
        let other = EntityTag::and_json(&two).unwrap().0.to_header().unwrap();
        for known in [other.to_str().unwrap(), "\"x\"", "x", &tag[1..]] {
            assert_eq!(get(Some(known)).await, (200, tag.clone(), 14), "{known}");
        }
    }
}
