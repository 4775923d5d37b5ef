//! What all pages have around their content, and the parts that several of them use.

use axum::{
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use maud::{DOCTYPE, Markup, html};

use crate::{assets, client::ClientError, pages::PAGES, state::AppState};

/// The settings of htmx: nothing that the content security policy forbids, no copies of pages in the browser's storage,
/// and an answer with an error is shown like any other.
const HTMX: &str = r#"{"allowEval":false,"includeIndicatorStyles":false,"selfRequestsOnly":true,"historyCacheSize":0,"refreshOnHistoryMiss":true,"responseHandling":[{"code":"204","swap":false},{"code":"[2345]..","swap":true}]}"#;

/// Returns a page of the console. `path` is that of its [`Page`](crate::pages::Page), which is marked in the
/// navigation.
pub(crate) fn page(app: &AppState, path: &str, title: &str, content: Markup) -> Markup {
    let navigation = html! {
        header.top {
            a.brand href="/" { "Order system" }
            nav aria-label="Pages" {
                ul {
                    @for page in PAGES.iter().filter(|page| page.in_navigation) {
                        li {
                            a href=(page.path) aria-current=[(page.path == path).then_some("page")] { (page.title) }
                        }
                    }
                }
            }
            @if app.access.needs_login() {
                form method="post" action="/logout" { button.quiet type="submit" { "Log out" } }
            }
        }
        p #connection .problem role="status" hidden {
            "The connection to the console is lost; what is shown is old. Trying again by itself."
        }
    };
    document(title, navigation, content)
}

/// Returns a page without navigation: before the login.
pub(crate) fn bare(title: &str, content: Markup) -> Markup {
    document(title, html! {}, content)
}

/// Returns a page that says why a request was refused.
pub(crate) fn error(status: StatusCode, title: &str, text: &str) -> Response {
    let content = html! {
        h1 { (title) }
        p.problem role="alert" { (text) }
        p { a href="/" { "To the console" } }
    };
    (status, bare(title, content)).into_response()
}

/// Returns what to show where a service did not do what it was asked for: what happened, and what to do.
pub(crate) fn failure(error: &ClientError) -> Markup {
    html! {
        div.problem role="alert" data-service=(error.service()) {
            strong { (error) "." }
            " " (error.remedy())
        }
    }
}

fn document(title: &str, navigation: Markup, content: Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="htmx-config" content=(HTMX);
                title { (title) " · Order system" }
                link rel="icon" href=(assets::ICON.path());
                link rel="stylesheet" href=(assets::STYLE.path());
                script src=(assets::HTMX.path()) defer {}
                script src=(assets::HTMX_SSE.path()) defer {}
                script src=(assets::SCRIPT.path()) defer {}
            }
            body {
                a.skip href="#main" { "Skip to the content" }
                (navigation)
                main #main tabindex="-1" { (content) }
            }
        }
    }
}
