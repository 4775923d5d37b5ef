use axum::{
    extract::Request,
    http::{Method, StatusCode},
    middleware::Next,
    response::Response,
};
use service_http::RequestOrigin;

use crate::layout;

/// Middleware that refuses a change that no page of the console has asked for. Other than at the services, a request
/// that does not say where it comes from is refused, too: a form needs no `Origin` in every browser.
pub(crate) async fn refuse_cross_site(request: Request, next: Next) -> Response {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    if reads || RequestOrigin::of(request.headers()) == RequestOrigin::Same {
        return next.run(request).await;
    }
    layout::error(
        StatusCode::FORBIDDEN,
        "The request came from elsewhere",
        "A change must be made on a page of the console. A program that is no browser sends \
         Sec-Fetch-Site: same-origin. Nothing was changed.",
    )
}
