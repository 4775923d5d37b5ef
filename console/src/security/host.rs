use std::{net::IpAddr, sync::Arc};

use axum::{
    extract::{Request, State},
    http::{StatusCode, header, uri::Authority},
    middleware::Next,
    response::Response,
};

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

fn is_this_machine(host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else { return false };
    // Whoever is in `user@host` is not the host; a browser never sends it.
    if authority.as_str().contains('@') {
        return false;
    }
    let name = authority.host().trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_are_allowed() {
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
}
