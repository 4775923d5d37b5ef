//! A console of its own for each test.

use console::{Addresses, AdminAccess, Console, ConsoleSettings};
use reqwest::{Client, RequestBuilder, Response, StatusCode, redirect::Policy};
use service_http::ConnectionLimits;

/// The admin token of the tests.
pub(crate) const TOKEN: &str = "a-token-of-the-tests";

/// A running console.
pub(crate) struct TestConsole {
    pub(crate) http: Client,
    console: Console,
}

/// Addresses at which nothing listens.
pub(crate) fn nowhere() -> Addresses {
    // Port 1 needs privileges, and nobody uses it.
    Addresses::new([(); 3].map(|()| "http://127.0.0.1:1".parse().unwrap()))
}

impl TestConsole {
    /// Starts a console without a login.
    pub(crate) async fn open(addresses: &Addresses) -> Self {
        Self::start(addresses, AdminAccess::WithoutLogin(None)).await
    }

    /// Starts a console with a login.
    pub(crate) async fn with_login(addresses: &Addresses) -> Self {
        Self::start(addresses, AdminAccess::Token(TOKEN.parse().unwrap())).await
    }

    async fn start(addresses: &Addresses, admin: AdminAccess) -> Self {
        let settings = ConsoleSettings { console_listen: "127.0.0.1:0".parse().unwrap() };
        let listener = Console::listen(&settings, &admin).await.unwrap();
        let console = Console::start(listener, addresses, admin, ConnectionLimits::default(), None).unwrap();
        Self { http: Client::builder().no_proxy().redirect(Policy::none()).build().unwrap(), console }
    }

    /// Stops it as a signal does.
    pub(crate) async fn stop(self) {
        self.console.stop().await;
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.console.address())
    }

    pub(crate) fn get(&self, path: &str) -> RequestBuilder {
        self.http.get(self.url(path))
    }

    /// Returns a form sent from a page of the console.
    pub(crate) fn post(&self, path: &str, form: &'static str) -> RequestBuilder {
        self.foreign_post(path, form).header("sec-fetch-site", "same-origin")
    }

    /// Returns a form without a sign of where it comes from.
    pub(crate) fn foreign_post(&self, path: &str, form: &'static str) -> RequestBuilder {
        self.http.post(self.url(path)).header("content-type", "application/x-www-form-urlencoded").body(form)
    }

    /// Returns the body of the page at `path`.
    pub(crate) async fn page(&self, path: &str) -> String {
        text(self.get(path), StatusCode::OK).await
    }
}

/// Returns the body of a response with this status.
pub(crate) async fn text(request: RequestBuilder, status: StatusCode) -> String {
    let response: Response = request.send().await.unwrap();
    let (got, body) = (response.status(), response.text().await.unwrap());
    assert_eq!(got, status, "{body}");
    body
}
