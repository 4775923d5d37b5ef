use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, Method, Uri, header};
use form_urlencoded::Serializer;
use serde::de::DeserializeOwned;
use service_http::{ClientTls, HttpClient, HttpError, HttpRequest};

use super::{
    ApiKey,
    failure::Failure,
    wire::{ApiError, ErrorBody, Listed, Page},
};

/// The version of the API whose objects this program reads, whatever version the account has.
/// <https://docs.stripe.com/api/versioning>
const API_VERSION: &str = "2025-09-30.clover";

/// The objects on one page of a list, and how many pages are read at most.
const PAGE: usize = 100;
const MAX_PAGES: usize = 20;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const STRIPE_VERSION: HeaderName = HeaderName::from_static("stripe-version");

/// Fields of a request.
pub(super) type Fields<'a> = &'a [(&'a str, &'a str)];

/// A client of Stripe's API. Each call is one request, without retries, except for lists.
#[derive(Debug, Clone)]
pub(super) struct Client {
    http: HttpClient,
    /// Without a slash at its end.
    url: String,
    key: ApiKey,
    timeout: Duration,
}

impl Client {
    /// `url` is that of the API, without `/v1`. A request may take at most `timeout`.
    ///
    /// # Errors
    /// If the address is `https`, and this machine trusts no authorities.
    pub(super) fn new(url: &Uri, key: ApiKey, timeout: Duration) -> anyhow::Result<Self> {
        let tls = if url.scheme_str() == Some("https") { Some(ClientTls::trusting(None)?) } else { None };
        let (http, url) = (HttpClient::new(tls, timeout), url.to_string());
        Ok(Self { http, url: url.trim_end_matches('/').to_owned(), key, timeout })
    }

    /// Sends a request that changes something. Stripe carries out one request for each idempotency key.
    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        fields: Fields<'_>,
        idempotency_key: &str,
    ) -> Result<T, Failure> {
        let request = self
            .request(Method::POST, path)
            .header(IDEMPOTENCY_KEY, idempotency_key)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(encode(fields));
        send(request).await
    }

    /// Reads an object.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str, fields: Fields<'_>) -> Result<T, Failure> {
        let query = encode(fields);
        let path = if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") };
        send(self.request(Method::GET, &path)).await
    }

    /// Reads all objects of a list, newest first.
    pub(super) async fn list<T: DeserializeOwned + Listed>(
        &self,
        path: &str,
        fields: Fields<'_>,
    ) -> Result<Vec<T>, Failure> {
        let mut objects = Vec::<T>::new();
        let limit = PAGE.to_string();
        for _ in 0..MAX_PAGES {
            let last = objects.last().map(|object| object.id().to_owned());
            let fields = fields.iter().copied().chain([("limit", limit.as_str())]);
            let fields: Vec<_> = fields.chain(last.as_deref().map(|last| ("starting_after", last))).collect();
            let page: Page<T> = self.get(path, &fields).await?;
            let is_last = !page.has_more || page.data.is_empty();
            objects.extend(page.data);
            if is_last {
                return Ok(objects);
            }
        }
        // Half of a list would be worse than none: what is missing might be what is looked for.
        let reason = format!("{path} has more than {} objects", PAGE * MAX_PAGES);
        Err(Failure::NotDone { reason, after: None })
    }

    fn request(&self, method: Method, path: &str) -> HttpRequest {
        let request = self.http.request(method, &format!("{}/v1/{path}", self.url)).timeout(self.timeout);
        request.bearer_auth(self.key.expose()).header(STRIPE_VERSION, API_VERSION)
    }
}

fn encode(fields: Fields<'_>) -> String {
    Serializer::new(String::new()).extend_pairs(fields).finish()
}

async fn send<T: DeserializeOwned>(request: HttpRequest) -> Result<T, Failure> {
    let response = request.send().await.map_err(no_response)?;
    let (status, headers) = (response.status(), Headers::of(response.headers()));
    let body = response.bytes().await.map_err(no_response)?;
    if status.is_success() {
        return serde_json::from_slice(&body).map_err(|error| Failure::Unknown {
            reason: format!("Stripe's answer cannot be read: {error}"),
            replayed: headers.replayed,
        });
    }
    // Something between here and Stripe may have answered, in another format.
    let error = serde_json::from_slice(&body).map_or_else(|_| ApiError::default(), |ErrorBody { error }| error);
    Err(Failure::of(status.as_u16(), error, headers.replayed, headers.retry_after))
}

/// What a response says besides its status and its body.
struct Headers {
    /// The answer is that of an earlier request with the same idempotency key.
    replayed: bool,
    retry_after: Option<Duration>,
}

impl Headers {
    fn of(headers: &HeaderMap) -> Self {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        Self {
            replayed: text("Idempotent-Replayed") == Some("true"),
            retry_after: text("Retry-After").and_then(|seconds| seconds.parse().ok()).map(Duration::from_secs),
        }
    }
}

fn no_response(error: HttpError) -> Failure {
    let reason = format!("no answer of Stripe: {error}");
    match error {
        HttpError::Invalid(_) | HttpError::Connect { .. } | HttpError::Untrusted { .. } => {
            Failure::NotDone { reason, after: None }
        }
        HttpError::TimedOut { .. } | HttpError::Broken { .. } | HttpError::Content(_) => {
            Failure::Unknown { reason, replayed: false }
        }
    }
}
