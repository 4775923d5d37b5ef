use std::{sync::Arc, time::Instant};

use axum::{
    Form, Router,
    extract::{Query, Request, State},
    http::{HeaderMap, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Redirect, Response},
    routing::{get, post},
};
use maud::{Markup, html};
use serde::Deserialize;

use super::access::{Attempt, LIFETIME};
use crate::{layout, state::AppState};

const COOKIE: &str = "console_session";

/// Returns the routes for logging in and out.
pub(crate) fn routes() -> Router<Arc<AppState>> {
    Router::new().route("/login", get(show).post(log_in)).route("/logout", post(log_out))
}

/// Middleware that leads to the login where one is needed.
pub(crate) async fn require_login(State(app): State<Arc<AppState>>, request: Request, next: Next) -> Response {
    if app.access.admits(session(request.headers()), Instant::now()) {
        return next.run(request).await;
    }
    let page = request.method() == axum::http::Method::GET;
    let path = request.uri().path_and_query().filter(|_| page).map_or("/", |path| path.as_str());
    let login = format!("/login?next={}", crate::client::path_segment(path));
    let headers = request.headers();
    if headers.contains_key("hx-request") {
        // htmx would put the login into a part of the page; this makes it load the whole page.
        return (StatusCode::UNAUTHORIZED, [("hx-redirect", login)]).into_response();
    }
    let accepts = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    if accepts.contains("text/event-stream") {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    Redirect::to(&login).into_response()
}

fn session(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|cookie| cookie.to_str().ok());
    let mut pairs = cookies.flat_map(|cookies| cookies.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find_map(|(name, value)| (name == COOKIE).then_some(value))
}

#[derive(Debug, Default, Deserialize)]
struct Target {
    #[serde(default)]
    next: String,
}

/// Returns `next` if it is a path of the console, and else `/`.
fn local(next: &str) -> &str {
    let is_path = next.starts_with('/') && !next.starts_with("//") && !next.contains(['\\', '\r', '\n']);
    if is_path { next } else { "/" }
}

async fn show(State(app): State<Arc<AppState>>, Query(Target { next }): Query<Target>) -> Response {
    if !app.access.needs_login() {
        return Redirect::to("/").into_response();
    }
    form(&next, None).into_response()
}

#[derive(Deserialize)]
struct Login {
    token: String,
    #[serde(default)]
    next: String,
}

async fn log_in(State(app): State<Arc<AppState>>, Form(login): Form<Login>) -> Response {
    match app.access.log_in(&login.token, Instant::now()) {
        Ok(Attempt::Admitted(secret)) => {
            let seconds = LIFETIME.as_secs();
            let cookie =
                format!("{COOKIE}={secret}; Path=/; HttpOnly; SameSite=Strict; Max-Age={seconds}{}", secure(&app));
            ([(header::SET_COOKIE, cookie)], Redirect::to(local(&login.next))).into_response()
        }
        Ok(Attempt::Wrong) => {
            tracing::warn!("somebody tried to log in to the console with a wrong token");
            let error = "This is not the admin token of this system.";
            (StatusCode::UNAUTHORIZED, form(&login.next, Some(error))).into_response()
        }
        Ok(Attempt::TooMany) => {
            let error = "There were too many attempts. Wait for some seconds, and try again.";
            let retry = [(header::RETRY_AFTER, "2")];
            (StatusCode::TOO_MANY_REQUESTS, retry, form(&login.next, Some(error))).into_response()
        }
        Err(error) => {
            tracing::error!(%error, "the operating system has no random numbers");
            layout::error(StatusCode::SERVICE_UNAVAILABLE, "No login now", "The log of the console says why.")
        }
    }
}

async fn log_out(State(app): State<Arc<AppState>>, headers: HeaderMap) -> Response {
    if let Some(secret) = session(&headers) {
        app.access.log_out(secret);
    }
    let cookie = format!("{COOKIE}=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0{}", secure(&app));
    ([(header::SET_COOKIE, cookie)], Redirect::to("/login")).into_response()
}

/// Over HTTPS, the cookie is not sent without it.
fn secure(app: &AppState) -> &'static str {
    if app.is_https { "; Secure" } else { "" }
}

fn form(next: &str, error: Option<&str>) -> Markup {
    layout::bare(
        "Log in",
        html! {
            h1 { "Order system" }
            form.card method="post" action="/login" {
                @if let Some(error) = error {
                    p.problem role="alert" { (error) }
                }
                label for="token" { "Admin token" }
                input #token name="token" type="password" required autofocus autocomplete="current-password";
                p.hint { "The token that the services were started with (ADMIN_TOKEN)." }
                input type="hidden" name="next" value=(local(next));
                button type="submit" { "Log in" }
            }
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_leads_only_to_a_page_of_the_console() {
        assert_eq!(local("/orders?status=FAILED"), "/orders?status=FAILED");
        for elsewhere in ["", "//example.com", "https://example.com", "/\\example.com", "orders", "/a\r\nb: c"] {
            assert_eq!(local(elsewhere), "/", "{elsewhere}");
        }
    }

    #[test]
    fn the_session_is_found_among_other_cookies() {
        let mut headers = HeaderMap::new();
        assert_eq!(session(&headers), None);
        headers.append(header::COOKIE, "a=b; console_session_=x".parse().expect("a value"));
        assert_eq!(session(&headers), None);
        headers.append(header::COOKIE, "a=b; console_session=secret; c".parse().expect("a value"));
        assert_eq!(session(&headers), Some("secret"));
    }
}
