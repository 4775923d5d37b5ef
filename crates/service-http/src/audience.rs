use axum::{
    extract::{MatchedPath, Request},
    http::StatusCode,
    middleware::Next,
    response::{IntoResponse as _, Response},
};

use crate::{BrowserPolicy, Problem};

/// Whom a listener is for. The server adds it to each request, and routes for somebody else are unknown paths there.
#[derive(Debug, Clone, Default)]
pub struct Audience {
    /// Which routes there are.
    pub routes: Routes,
    /// Which requests of browsers this listener accepts, if not those of the [`Edge`](crate::Edge).
    pub browsers: Option<BrowserPolicy>,
}

/// A part of a service's routes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Routes {
    /// All of them.
    #[default]
    All,
    /// Those of clients, and the health checks.
    Public,
    /// Those of operators, and the health checks.
    Operations,
}

impl Routes {
    /// Returns whether the route with this template is among them. The template is what the router has found, so it
    /// does not matter how a path is written.
    fn have(self, template: &str) -> bool {
        let is_shared = matches!(template, "/health" | "/health/ready") || template.starts_with("/problems/");
        match self {
            Self::All => true,
            _ if is_shared => true,
            Self::Public => !is_for_operators(template),
            Self::Operations => is_for_operators(template),
        }
    }
}

/// Returns whether a route is for operators: the admin endpoints, the metrics, and what describes the service.
fn is_for_operators(template: &str) -> bool {
    let below = |path: &str| template.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    matches!(template, "/" | "/openapi.json" | "/asyncapi.json")
        || ["/admin", "/metrics", "/docs"].into_iter().any(below)
}

/// Answers with 404 where a route is not for this listener.
pub(crate) async fn separate(request: Request, next: Next) -> Response {
    let routes = request.extensions().get::<Audience>().map(|audience| audience.routes).unwrap_or_default();
    let template = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
    // A path without a route gets its 404 below.
    if template.is_empty() || routes.have(template) {
        return next.run(request).await;
    }
    Problem::of_status(StatusCode::NOT_FOUND).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_route_is_for_one_listener_or_both() {
        for (template, public, operations) in [
            ("/api/v1/orders/{id}", true, false),
            ("/administration", true, false),
            ("/health", true, true),
            ("/health/ready", true, true),
            ("/problems/{name}", true, true),
            ("/", false, true),
            ("/admin/dead-letters/{message_id}", false, true),
            ("/metrics", false, true),
            ("/docs/{*rest}", false, true),
            ("/openapi.json", false, true),
            ("/asyncapi.json", false, true),
        ] {
            assert!(Routes::All.have(template));
            assert_eq!(
                (Routes::Public.have(template), Routes::Operations.have(template)),
                (public, operations),
                "{template}"
            );
        }
    }
}
