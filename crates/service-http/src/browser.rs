//! Protects against pages of other sites, which a browser runs on the machine of whoever reads them: such a page can
//! send requests to this machine and to its network.
//!
//! - A page of another origin may change nothing: [`RequestOrigin`].
//! - A page must not become one of the same origin by a name that resolves to 127.0.0.1 (DNS rebinding):
//!   [`is_this_machine`].
//!
//! Programs that are no browsers send neither `Origin` nor `Sec-Fetch-Site`, and are not concerned.

use std::{net::IpAddr, sync::Arc, time::Duration};

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header, request::Parts, uri::Authority};
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::Problem;

/// Where a browser says that a request comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestOrigin {
    /// From a page of this server.
    Same,
    /// From elsewhere.
    Other,
    /// It does not say. It is an old browser or, more likely, none.
    Unknown,
}

impl RequestOrigin {
    /// Reads `Sec-Fetch-Site` or, where a browser does not send it, compares `Origin` with `Host`.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        let text = |name: HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or_default());
        if let Some(site) = text(HeaderName::from_static("sec-fetch-site")) {
            return if site == "same-origin" { Self::Same } else { Self::Other };
        }
        let Some(origin) = text(header::ORIGIN) else { return Self::Unknown };
        // There may be a proxy in front that adds TLS.
        let authority = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
        let is_host = authority
            .zip(text(header::HOST))
            .is_some_and(|(authority, host)| !host.is_empty() && authority.eq_ignore_ascii_case(host));
        if is_host { Self::Same } else { Self::Other }
    }
}

/// Returns whether a `Host` header names the machine itself: `localhost` or an address of the loopback interface.
#[must_use]
pub fn is_this_machine(host: &str) -> bool {
    match name(host) {
        Some(name) => name.eq_ignore_ascii_case("localhost") || address(&name).is_some_and(|ip| ip.is_loopback()),
        None => false,
    }
}

/// Returns the name or the address in a `Host` header, without the port.
fn name(host: &str) -> Option<String> {
    let authority: Authority = host.parse().ok()?;
    // Whoever is in `user@host` is not the host; a browser never sends it.
    let is_plain = !authority.as_str().contains('@');
    is_plain.then(|| authority.host().trim_start_matches('[').trim_end_matches(']').to_owned())
}

fn address(name: &str) -> Option<IpAddr> {
    name.parse().ok()
}

/// Which names a listener answers to, and which other origins may use it.
#[derive(Debug, Clone, Default)]
pub struct BrowserPolicy(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// Whether names that are not listed are refused.
    checks_host: bool,
    /// Further names, in lower case.
    hosts: Vec<String>,
    origins: Vec<HeaderValue>,
}

/// How long a browser may remember the answer to a preflight request.
const PREFLIGHT_AGE: Duration = Duration::from_secs(600);

impl BrowserPolicy {
    /// Creates the policy of a listener at the address `listening`. On loopback, it answers only to names of this
    /// machine and to `hosts`; elsewhere to every name or, if there are any, to `hosts` and addresses. Pages of
    /// `origins` may do what its own may.
    #[must_use]
    pub fn new(listening: IpAddr, hosts: &[String], origins: &[HeaderValue]) -> Self {
        Self(Arc::new(Inner {
            checks_host: listening.is_loopback() || !hosts.is_empty(),
            hosts: hosts.iter().map(|host| host.to_ascii_lowercase()).collect(),
            origins: origins.to_vec(),
        }))
    }

    /// Returns why a request is refused, if it is.
    pub(crate) fn refusal(&self, request: &Parts) -> Option<Problem> {
        if !self.answers_to(&request.headers) {
            return Some(Problem::unknown_host());
        }
        let changes = !matches!(request.method, Method::GET | Method::HEAD | Method::OPTIONS);
        let is_foreign = changes && RequestOrigin::of(&request.headers) == RequestOrigin::Other;
        (is_foreign && !self.is_allowed(request.headers.get(header::ORIGIN))).then(Problem::foreign_origin)
    }

    /// A browser always sends `Host`; without it, there is nothing to check.
    fn answers_to(&self, headers: &HeaderMap) -> bool {
        let Some(host) = headers.get(header::HOST).filter(|_| self.0.checks_host) else { return true };
        let Ok(host) = host.to_str() else { return false };
        let is_listed = |name: String| self.0.hosts.contains(&name.to_ascii_lowercase()) || self.is_address(&name);
        is_this_machine(host) || name(host).is_some_and(is_listed)
    }

    /// An address cannot be rebound. Health checks use it; on loopback, nobody needs another one.
    fn is_address(&self, name: &str) -> bool {
        !self.0.hosts.is_empty() && address(name).is_some()
    }

    fn is_allowed(&self, origin: Option<&HeaderValue>) -> bool {
        origin.is_some_and(|origin| self.0.origins.contains(origin))
    }

    /// Returns the layer that lets pages of other origins read responses, if there are such origins.
    pub(crate) fn cors(&self) -> Option<CorsLayer> {
        if self.0.origins.is_empty() {
            return None;
        }
        let sent = ["content-type", "idempotency-key", "prefer", "last-event-id", "traceparent", "authorization"];
        let sent = sent.into_iter().chain(["if-match", "if-none-match"]).map(HeaderName::from_static);
        let read = ["link", "location", "preference-applied", "retry-after", "etag"];
        Some(
            CorsLayer::new()
                .allow_origin(AllowOrigin::list(self.0.origins.iter().cloned()))
                .allow_methods([Method::GET, Method::POST, Method::PUT, Method::DELETE])
                .allow_headers(sent.collect::<Vec<_>>())
                .expose_headers(read.map(HeaderName::from_static))
                .max_age(PREFLIGHT_AGE),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(of: &[(&'static str, &'static str)]) -> HeaderMap {
        let header = |&(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value));
        of.iter().map(header).collect()
    }

    #[test]
    fn a_request_is_of_the_same_origin_or_not_or_it_does_not_say() {
        use RequestOrigin::{Other, Same, Unknown};
        let host = ("host", "localhost:8000");
        for (of, expected) in [
            (&[host, ("sec-fetch-site", "same-origin")][..], Same),
            (&[host, ("origin", "http://localhost:8000")], Same),
            (&[host, ("origin", "https://localhost:8000")], Same),
            // The browser knows better than a proxy that has changed `Host`.
            (&[host, ("sec-fetch-site", "same-origin"), ("origin", "http://example.com")], Same),
            (&[host], Unknown),
            (&[], Unknown),
            (&[host, ("sec-fetch-site", "same-site")], Other),
            (&[host, ("sec-fetch-site", "cross-site")], Other),
            (&[host, ("sec-fetch-site", "none")], Other),
            (&[host, ("sec-fetch-site", "")], Other),
            (&[host, ("sec-fetch-site", "cross-site"), ("origin", "http://localhost:8000")], Other),
            (&[host, ("origin", "http://localhost:8001")], Other),
            (&[host, ("origin", "null")], Other),
            (&[host, ("origin", "")], Other),
            (&[("host", ""), ("origin", "http://")], Other),
            (&[host, ("origin", "http://example.com")], Other),
            (&[("origin", "http://localhost:8000")], Other),
        ] {
            assert_eq!(RequestOrigin::of(&headers(of)), expected, "{of:?}");
        }
    }

    #[test]
    fn only_names_of_this_machine_are_its_names() {
        for host in ["localhost", "LOCALHOST:8000", "127.0.0.1:8000", "127.8.9.1", "[::1]:8000", "[::1]"] {
            assert!(is_this_machine(host), "{host}");
        }
        for host in [
            "example.com",
            "localhost.example.com",
            "127.0.0.1.example.com",
            "example.com:8000",
            "127.0.0.1@example.com",
            "10.0.0.1",
            "0.0.0.0:8000",
            "",
            "a b",
        ] {
            assert!(!is_this_machine(host), "{host}");
        }
    }

    #[test]
    fn a_listener_answers_to_its_names() {
        let answers = |listening: &str, hosts: &[&str], host: &'static str| {
            let hosts: Vec<String> = hosts.iter().map(|&host| host.to_owned()).collect();
            BrowserPolicy::new(listening.parse().unwrap(), &hosts, &[]).answers_to(&headers(&[("host", host)]))
        };
        for (listening, hosts, host, expected) in [
            ("127.0.0.1", &[][..], "localhost:8001", true),
            ("127.0.0.1", &[], "rebound.example.com:8001", false),
            ("127.0.0.1", &[], "10.0.0.1", false),
            ("127.0.0.1", &["Shop.example.com"], "shop.example.COM:8001", true),
            ("127.0.0.1", &["shop.example.com"], "127.0.0.1:8001", true),
            ("::1", &[], "rebound.example.com", false),
            ("0.0.0.0", &[], "order:8001", true),
            ("10.0.0.1", &[], "anything.example.com", true),
            ("0.0.0.0", &["shop.example.com"], "shop.example.com", true),
            ("0.0.0.0", &["shop.example.com"], "order:8001", false),
            ("0.0.0.0", &["shop.example.com"], "10.0.0.1:8001", true),
        ] {
            assert_eq!(answers(listening, hosts, host), expected, "{listening} {hosts:?} {host}");
        }
        let policy = BrowserPolicy::new("127.0.0.1".parse().unwrap(), &[], &[]);
        assert!(policy.answers_to(&HeaderMap::new()));
    }
}
