use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::{StatusCode, header},
    middleware::Next,
    response::Response,
};
use service_http::is_this_machine;

use crate::{layout, state::AppState};

/// Middleware that refuses a request that does not name this machine, if there is no login. A site whose name resolves
/// to 127.0.0.1 would else be of the same origin as the console (DNS rebinding).
pub(crate) async fn refuse_foreign_hosts(State(app): State<Arc<AppState>>, request: Request, next: Next) -> Response {
    if !app.access.needs_login() {
        let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
        if !host.is_some_and(is_this_machine) {
            return layout::error(
                StatusCode::MISDIRECTED_REQUEST,
                "This address is not allowed",
                "Without a login, the console answers only at 127.0.0.1, [::1] and localhost. To reach it under \
                 another name, start it with an admin token (--admin-token): then one logs in.",
            );
        }
    }
    next.run(request).await
}
