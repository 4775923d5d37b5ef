//! A client of a service's admin endpoints, for the command line.

use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use reqwest::{Method, StatusCode, Url};
use serde::{Deserialize, de::DeserializeOwned};
use service_host::admin::{AdminToken, DeadLetterSummaryView, DeadLetterView, RedriveAllView, RedriveView};
use service_http::{ClientTls, HttpClient, HttpResponse};
use shared_events::Service;
use uuid::Uuid;

/// How many messages are requested per page.
const PAGE: usize = 1_000;

/// Calls the admin endpoints of one service.
pub(super) struct AdminClient {
    pub(super) service: Service,
    http: HttpClient,
    base: Url,
    token: AdminToken,
}

/// The part of a problem that is shown to the user.
#[derive(Deserialize)]
struct Problem {
    detail: String,
}

impl AdminClient {
    pub(super) fn new(service: Service, base: Url, token: AdminToken, tls: Option<ClientTls>) -> Self {
        // Redriving all messages may take long, so only connecting has a timeout.
        Self { service, http: HttpClient::new(tls, Duration::from_secs(10)), base, token }
    }

    /// Returns the messages behind `after`, and whether there are more.
    pub(super) async fn page(&self, after: Option<Uuid>) -> Result<(Vec<DeadLetterSummaryView>, bool)> {
        let mut path = format!("?limit={PAGE}");
        if let Some(after) = after {
            path += &format!("&after={after}");
        }
        let letters: Vec<_> = self.json(Method::GET, &path).await?;
        let more = letters.len() == PAGE;
        Ok((letters, more))
    }

    pub(super) async fn show(&self, id: Uuid) -> Result<DeadLetterView> {
        self.json(Method::GET, &format!("/{id}")).await
    }

    /// Returns `None` if there is no such dead letter.
    pub(super) async fn redrive(&self, id: Uuid) -> Result<Option<RedriveView>> {
        let response = self.send(Method::POST, &format!("/{id}/redrive")).await?;
        // A service whose admin endpoints are off responds with 404 too. Its detail says so, and that is an error and
        // not "no such dead letter".
        if response.status() == StatusCode::NOT_FOUND {
            let detail = detail(response).await;
            return if detail.contains("--admin-token") { Err(self.failed(&detail)) } else { Ok(None) };
        }
        Ok(Some(self.read(response).await?))
    }

    pub(super) async fn redrive_all(&self) -> Result<RedriveAllView> {
        self.json(Method::POST, "/redrive").await
    }

    pub(super) async fn discard(&self, id: Uuid) -> Result<()> {
        let response = self.send(Method::DELETE, &format!("/{id}")).await?;
        if response.status() == StatusCode::NO_CONTENT { Ok(()) } else { Err(self.refused(response).await) }
    }

    async fn json<T: DeserializeOwned>(&self, method: Method, path: &str) -> Result<T> {
        let response = self.send(method, path).await?;
        self.read(response).await
    }

    async fn send(&self, method: Method, path: &str) -> Result<HttpResponse> {
        let url = format!("{}/admin/dead-letters{path}", self.base.as_str().trim_end_matches('/'));
        let request = self.http.request(method, &url).bearer_auth(self.token.reveal());
        let unreachable =
            || format!("cannot reach the {} service at {}: does it run? (see --url)", self.service, self.base);
        request.send().await.with_context(unreachable)
    }

    async fn read<T: DeserializeOwned>(&self, response: HttpResponse) -> Result<T> {
        if response.status() != StatusCode::OK {
            return Err(self.refused(response).await);
        }
        let strange = || format!("what answers at {} is not the {} service of this version", self.base, self.service);
        response.json().await.with_context(strange)
    }

    async fn refused(&self, response: HttpResponse) -> anyhow::Error {
        if response.status() == StatusCode::UNAUTHORIZED {
            return self.failed("it has another admin token");
        }
        let status = response.status();
        let detail = detail(response).await;
        self.failed(if detail.is_empty() { status.as_str() } else { &detail })
    }

    fn failed(&self, why: &str) -> anyhow::Error {
        anyhow!("the {} service at {} refused the request: {why}", self.service, self.base)
    }
}

/// Returns the detail of a problem, or an empty text if the response is no problem.
async fn detail(response: HttpResponse) -> String {
    response.json::<Problem>().await.map(|problem| problem.detail).unwrap_or_default()
}

/// Parses the address of a service.
pub(super) fn url(text: &str) -> Result<Url> {
    let url: Url = text.parse()?;
    if !matches!(url.scheme(), "http" | "https") {
        bail!("must begin with http:// or https://");
    }
    Ok(url)
}
