use axum::{
    Router,
    response::{Html, IntoResponse as _, Response},
    routing::get,
};
use serde::{Serialize, Serializer};

use super::{ApiPath, Problem};

/// The kind of a problem: its `type`, which is the path of a page about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProblemKind {
    /// The HTTP status says everything. RFC 9457 requires that the title is the status's own phrase.
    Blank,
    Validation,
    Overloaded,
    PreconditionFailed,
    Unauthorized,
    InsufficientScope,
    RateLimited,
    ForeignOrigin,
    UnknownHost,
}

/// Where the pages are.
const PAGES: &str = "/problems/";

impl ProblemKind {
    const WITH_PAGE: [Self; 8] = [
        Self::Validation,
        Self::Overloaded,
        Self::PreconditionFailed,
        Self::Unauthorized,
        Self::InsufficientScope,
        Self::RateLimited,
        Self::ForeignOrigin,
        Self::UnknownHost,
    ];

    pub(crate) fn uri(self) -> &'static str {
        match self {
            Self::Blank => "about:blank",
            Self::Validation => "/problems/validation",
            Self::Overloaded => "/problems/overloaded",
            Self::PreconditionFailed => "/problems/precondition-failed",
            Self::Unauthorized => "/problems/unauthorized",
            Self::InsufficientScope => "/problems/insufficient-scope",
            Self::RateLimited => "/problems/rate-limited",
            Self::ForeignOrigin => "/problems/foreign-origin",
            Self::UnknownHost => "/problems/unknown-host",
        }
    }

    /// Returns the title, if it is not the status's own phrase.
    pub(crate) fn title(self) -> Option<&'static str> {
        Some(match self {
            Self::Blank => return None,
            Self::Validation => "Invalid fields",
            Self::Overloaded => "Overloaded",
            Self::PreconditionFailed => "Changed since it was read",
            Self::Unauthorized => "No valid key",
            Self::InsufficientScope => "Insufficient scope",
            Self::RateLimited => "Too many requests",
            Self::ForeignOrigin => "Request of another site",
            Self::UnknownHost => "Unknown host",
        })
    }

    /// Explains what it means and what to do about it.
    fn page(self) -> &'static str {
        match self {
            Self::Blank => "",
            Self::Validation => {
                "Status 422. The request can be read, but fields of its body, parameters or headers are missing or \
                 wrong. <code>errors</code> lists all of them, each with its <code>field</code> and what is wrong. \
                 Nothing was written. Correct the request; repeating it unchanged has the same result."
            }
            Self::Overloaded => {
                "Status 503. The service has more to do than it can: too many requests, unpublished messages, lists \
                 or connections. Nothing was written. Repeat the request after <code>Retry-After</code> seconds, an \
                 order with the same idempotency key."
            }
            Self::PreconditionFailed => {
                "Status 412. What was to be changed is not as the request requires: its <code>ETag</code> is none of \
                 those in <code>If-Match</code>, or it exists although the request has <code>If-None-Match: *</code>. \
                 Nothing was written. Read it again, and repeat the change if it is still wanted."
            }
            Self::Unauthorized => {
                "Status 401. The request has no API key that is valid here: none was sent, or it is wrong, expired or \
                 revoked. Nothing was written. Send a key as <code>Authorization: Bearer ck_…</code>; an operator \
                 makes one with <code>order-system keys create</code>."
            }
            Self::InsufficientScope => {
                "Status 403. The API key is valid, but does not have the scope that <code>detail</code> names. \
                 Nothing was written. An operator can make a key with this scope."
            }
            Self::RateLimited => {
                "Status 429. The API key has sent more requests than it may in a second. Nothing was written. \
                 <code>RateLimit-Policy</code> says how many these are, <code>RateLimit</code> how many are left. \
                 Repeat the request after <code>Retry-After</code> seconds; an operator can make a key with a higher \
                 limit."
            }
            Self::ForeignOrigin => {
                "Status 403. A browser says that a page of another site has sent this request, which would change \
                 something (<code>Sec-Fetch-Site</code>, <code>Origin</code>). Nothing was written. An operator can \
                 allow an origin with <code>--cors-origin</code>."
            }
            Self::UnknownHost => {
                "Status 421. The request names a host (<code>Host</code>) that this service does not answer to, which \
                 is how a page of another site would reach it by a name of its own (DNS rebinding). On loopback it \
                 answers to <code>localhost</code> and addresses such as <code>127.0.0.1</code>. An operator can \
                 allow a name with <code>--allowed-host</code>."
            }
        }
    }
}

impl Serialize for ProblemKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.uri())
    }
}

/// Returns the pages to which the `type` of each problem leads.
pub(crate) fn pages() -> Router {
    Router::new().route("/problems/{name}", get(page))
}

async fn page(ApiPath(name): ApiPath<String>) -> Response {
    let found = ProblemKind::WITH_PAGE.into_iter().find(|kind| kind.uri().strip_prefix(PAGES) == Some(name.as_str()));
    let Some(kind) = found else { return Problem::not_found("there is no such kind of problem").into_response() };
    let (title, text) = (kind.title().unwrap_or_default(), kind.page());
    Html(format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>{title}</title>\n<h1>{title}</h1>\n\
         <p>{text}</p></html>\n"
    ))
    .into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FieldErrors, testing};

    #[tokio::test]
    async fn each_type_leads_to_its_page() {
        let pages = pages();
        for kind in ProblemKind::WITH_PAGE {
            let (status, headers, page) = testing::get(&pages, kind.uri()).await;
            assert_eq!((status, &headers["content-type"]), (200, &"text/html; charset=utf-8".parse().unwrap()));
            assert!(page.as_str().unwrap().contains(&format!("<h1>{}</h1>", kind.title().unwrap())), "{page}");
        }
        let (status, _, problem) = testing::get(&pages, "/problems/nothing").await;
        assert_eq!((status, &problem["type"]), (404, &"about:blank".into()));
    }

    #[tokio::test]
    async fn the_types_of_problems_are_those_with_pages() {
        let pages = pages();
        let problems = [
            Problem::unprocessable(FieldErrors::of("a", "b")),
            Problem::overloaded("x"),
            Problem::unauthorized(),
            Problem::insufficient_scope(crate::access::Scope::Admin),
            Problem::rate_limited(),
            Problem::foreign_origin(),
            Problem::unknown_host(),
        ];
        for problem in problems {
            let kind = serde_json::to_value(&problem).unwrap()["type"].as_str().unwrap().to_owned();
            assert_eq!(testing::get(&pages, &kind).await.0, 200, "{kind}");
        }
    }
}
