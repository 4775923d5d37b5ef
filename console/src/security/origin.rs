use axum::{
    extract::Request,
    http::{HeaderMap, Method, StatusCode, header},
    middleware::Next,
    response::Response,
};

use crate::layout;

/// Middleware that refuses a change that no page of the console has asked for: `Sec-Fetch-Site` must be `same-origin`,
/// or, where a browser does not send it, `Origin` must be the console itself.
pub(crate) async fn refuse_cross_site(request: Request, next: Next) -> Response {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    if reads || is_same_origin(request.headers()) {
        return next.run(request).await;
    }
    layout::error(
        StatusCode::FORBIDDEN,
        "The request came from elsewhere",
        "A change must be made on a page of the console. A program that is no browser sends \
         Sec-Fetch-Site: same-origin. Nothing was changed.",
    )
}

fn is_same_origin(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    if headers.contains_key("sec-fetch-site") {
        return text("sec-fetch-site") == Some("same-origin");
    }
    let (Some(origin), Some(host)) = (text(header::ORIGIN.as_str()), text(header::HOST.as_str())) else { return false };
    // The console may be behind a proxy that adds TLS.
    let authority = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    authority.is_some_and(|authority| authority.eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    fn with(headers: &[(&'static str, &'static str)]) -> bool {
        let header = |&(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value));
        is_same_origin(&headers.iter().map(header).collect())
    }

    #[test]
    fn only_the_console_itself_is_the_same_origin() {
        let host = ("host", "localhost:8000");
        assert!(with(&[host, ("sec-fetch-site", "same-origin")]));
        assert!(with(&[host, ("origin", "http://localhost:8000")]));
        assert!(with(&[host, ("origin", "https://localhost:8000")]));
        for refused in [
            &[host][..],
            &[host, ("sec-fetch-site", "same-site")],
            &[host, ("sec-fetch-site", "cross-site")],
            &[host, ("sec-fetch-site", "none")],
            &[host, ("sec-fetch-site", "cross-site"), ("origin", "http://localhost:8000")],
            &[host, ("origin", "http://localhost:8001")],
            &[host, ("origin", "null")],
            &[host, ("origin", "http://example.com")],
            &[("origin", "http://localhost:8000")],
        ] {
            assert!(!with(refused), "{refused:?}");
        }
    }
}
