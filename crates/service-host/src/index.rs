//! `GET /`: what a service is, and where to go from here.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, header},
    response::{Html, IntoResponse, Response},
};
use maud::{DOCTYPE, html};
use reqwest::Url;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

/// What a service is, and where to go from here.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct Index {
    /// The name of its API.
    #[schema(example = "Order service")]
    title: String,
    /// The console, if the service knows where it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = "uri", example = "http://127.0.0.1:8000/")]
    console: Option<String>,
    /// Swagger UI.
    #[schema(value_type = String, example = "/docs")]
    docs: &'static str,
    /// The OpenAPI document.
    #[schema(value_type = String, example = "/openapi.json")]
    openapi: &'static str,
    /// Whether the process is alive.
    #[schema(value_type = String, example = "/health")]
    health: &'static str,
    /// Whether the service can do its work.
    #[schema(value_type = String, example = "/health/ready")]
    ready: &'static str,
}

/// Returns the route `/`.
pub(crate) fn routes(title: &str, console: Option<Url>) -> OpenApiRouter {
    let index = Index {
        title: title.to_owned(),
        console: console.map(String::from),
        docs: "/docs",
        openapi: "/openapi.json",
        health: "/health",
        ready: "/health/ready",
    };
    OpenApiRouter::new().routes(routes!(show)).with_state(Arc::new(index))
}

/// Show where to go from here
///
/// A browser (`Accept: text/html`) gets a page with links.
#[utoipa::path(get, operation_id = "index", path = "/", tag = "health", security(()), responses(
    (status = 200, content((Index = "application/json"), (String = "text/html"))),
))]
async fn show(State(index): State<Arc<Index>>, headers: HeaderMap) -> Response {
    let varies = [(header::VARY, "accept")];
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    if accept.contains("text/html") {
        (varies, Html(index.page())).into_response()
    } else {
        (varies, Json(index.as_ref())).into_response()
    }
}

impl Index {
    fn page(&self) -> String {
        let page = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    title { (self.title) }
                }
                body {
                    h1 { (self.title) }
                    ul {
                        @if let Some(console) = &self.console {
                            li { a href=(console) { "Console" } ": see and place orders" }
                        }
                        li { a href=(self.docs) { "Swagger UI" } ": try the API" }
                        li { a href=(self.openapi) { "OpenAPI document" } }
                        li { a href=(self.ready) { "Readiness" } ": whether it can do its work" }
                    }
                }
            }
        };
        page.into_string()
    }
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;

    use super::*;

    async fn get(console: Option<&str>, accept: Option<&str>) -> (String, String) {
        let console = console.map(|console| console.parse::<Url>().unwrap().into());
        let index = Index { title: "A <b>".to_owned(), console, docs: "/docs", openapi: "", health: "", ready: "" };
        let headers = accept.map(|accept| (header::ACCEPT, accept.parse().unwrap())).into_iter().collect();
        let response = show(State(Arc::new(index)), headers).await;
        assert_eq!(response.headers()["vary"], "accept");
        let kind = response.headers()["content-type"].to_str().unwrap().to_owned();
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (kind, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn a_browser_gets_a_page_and_others_json() {
        let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
        let (kind, page) = get(Some("http://console.example/?a=1&b=\"2\""), Some(browser)).await;
        assert!(kind.starts_with("text/html"), "{kind}");
        assert!(page.contains("href=\"http://console.example/?a=1&amp;b=%222%22\""), "{page}");
        assert!(page.contains("href=\"/docs\"") && page.contains("A &lt;b&gt;"), "{page}");
        let (_, page) = get(None, Some(browser)).await;
        assert!(!page.contains("Console"), "{page}");
        for accept in [None, Some("*/*"), Some("application/json")] {
            let (kind, json) = get(Some("http://127.0.0.1:8000"), accept).await;
            assert_eq!(kind, "application/json");
            assert!(json.contains("\"console\":\"http://127.0.0.1:8000/\",\"docs\":\"/docs\""), "{json}");
            assert!(!get(None, accept).await.1.contains("console"));
        }
    }
}
