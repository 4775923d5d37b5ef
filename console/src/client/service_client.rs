use std::time::Duration;

use reqwest::{Method, Url};
use serde::{Serialize, de::DeserializeOwned};
use service_host::admin::AdminToken;
use service_http::{ClientTls, HttpClient, HttpError, HttpRequest, HttpResponse};
use shared_events::Service;

use super::error::{ClientError, Problem};
use crate::settings::Addresses;

/// The time limit of a request. A page waits for it if a service hangs.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The time limit for opening a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// The clients of the three services.
#[derive(Debug, Clone)]
pub struct Services {
    /// The order service.
    pub order: ServiceClient,
    /// The inventory service.
    pub inventory: ServiceClient,
    /// The payment service.
    pub payment: ServiceClient,
}

/// A client of one service.
#[derive(Debug, Clone)]
pub struct ServiceClient {
    service: Service,
    http: HttpClient,
    base: Url,
    /// Where the admin endpoints and the metrics are.
    operations: Url,
    token: Option<AdminToken>,
}

impl Services {
    /// Creates the clients. The token is sent with every request. `tls` says which certificates are trusted at `https`
    /// addresses.
    #[must_use]
    pub fn new(addresses: &Addresses, token: Option<&AdminToken>, tls: Option<ClientTls>) -> Self {
        let http = HttpClient::new(tls, CONNECT_TIMEOUT);
        let client = |service| ServiceClient {
            service,
            http: http.clone(),
            base: addresses.of(service).clone(),
            operations: addresses.operations_of(service).clone(),
            token: token.cloned(),
        };
        Self { order: client(Service::Order), inventory: client(Service::Inventory), payment: client(Service::Payment) }
    }

    /// Returns the client of one service.
    #[must_use]
    pub fn of(&self, service: Service) -> &ServiceClient {
        match service {
            Service::Order => &self.order,
            Service::Inventory => &self.inventory,
            Service::Payment => &self.payment,
        }
    }
}

impl ServiceClient {
    /// Returns the service.
    #[must_use]
    pub fn service(&self) -> Service {
        self.service
    }

    /// Returns whether there is a token for the admin endpoints.
    #[must_use]
    pub fn has_admin_token(&self) -> bool {
        self.token.is_some()
    }

    /// Returns the JSON at `path`, such as `/api/v1/orders`, with these query parameters.
    ///
    /// # Errors
    /// If the service cannot be reached, refuses, or answers with something else.
    pub async fn get<T: DeserializeOwned>(&self, path: &str, query: &[(&str, &str)]) -> Result<T, ClientError> {
        self.json(self.request(Method::GET, path, query)).await
    }

    /// Sends `body` as JSON, and returns the JSON of the answer.
    ///
    /// # Errors
    /// As for [`Self::get`].
    pub async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        self.json(self.request(method, path, &[]).json(body)).await
    }

    /// Returns a request, to which headers or another time limit can be added. It carries the token, with which
    /// everything is allowed, whether the services ask for API keys or not.
    pub fn request(&self, method: Method, path: &str, query: &[(&str, &str)]) -> HttpRequest {
        let for_operators = path.starts_with("/admin/") || path == "/metrics";
        let base = if for_operators { &self.operations } else { &self.base };
        let mut url = base.clone();
        url.set_path(&format!("{}{path}", base.path().trim_end_matches('/')));
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let request = self.http.request(method, url.as_str()).timeout(TIMEOUT);
        match &self.token {
            Some(token) => request.bearer_auth(token.reveal()),
            None => request,
        }
    }

    /// Sends the request, and returns the JSON of a successful answer.
    ///
    /// # Errors
    /// As for [`Self::get`].
    pub async fn json<T: DeserializeOwned>(&self, request: HttpRequest) -> Result<T, ClientError> {
        let response = self.succeed(request).await?;
        self.body(response).await
    }

    /// Reads the JSON of an answer, whatever its status is.
    ///
    /// # Errors
    /// If the connection breaks, or the body is something else.
    pub async fn body<T: DeserializeOwned>(&self, response: HttpResponse) -> Result<T, ClientError> {
        let body = response.bytes().await.map_err(|error| self.failed(error))?;
        serde_json::from_slice(&body).map_err(|_| self.unexpected())
    }

    /// Sends the request, and returns the text of a successful answer.
    ///
    /// # Errors
    /// As for [`Self::get`].
    pub async fn text(&self, request: HttpRequest) -> Result<String, ClientError> {
        self.succeed(request).await?.text().await.map_err(|error| self.failed(error))
    }

    /// Sends the request, and returns the answer if its status is a success.
    ///
    /// # Errors
    /// As for [`Self::get`].
    pub async fn succeed(&self, request: HttpRequest) -> Result<HttpResponse, ClientError> {
        let response = self.answer(request).await?;
        if response.status().is_success() { Ok(response) } else { Err(self.refused(response).await) }
    }

    /// Sends the request, and returns the answer whatever its status is.
    ///
    /// # Errors
    /// If the service cannot be reached.
    pub async fn answer(&self, request: HttpRequest) -> Result<HttpResponse, ClientError> {
        request.send().await.map_err(|error| self.failed(error))
    }

    async fn refused(&self, response: HttpResponse) -> ClientError {
        let status = response.status().as_u16();
        match response.json::<Problem>().await {
            Ok(Problem { detail, errors }) => {
                ClientError::Refused { service: self.service, status, detail, fields: errors }
            }
            Err(_) => self.unexpected(),
        }
    }

    fn failed(&self, source: HttpError) -> ClientError {
        let is_for_operators = source.address().is_some_and(|address| address == self.operations.authority());
        let url = if is_for_operators { &self.operations } else { &self.base };
        let (service, url) = (self.service, url.clone());
        if source.is_timeout() {
            ClientError::TimedOut { service, url }
        } else {
            ClientError::Unreachable { service, url, source: source.into() }
        }
    }

    fn unexpected(&self) -> ClientError {
        ClientError::Unexpected { service: self.service, url: self.base.clone() }
    }
}

/// Returns `text` as one segment of a path: what has a meaning in a URL is percent-encoded.
#[must_use]
pub fn path_segment(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'~' => encoded.push(byte.into()),
            // A segment of dots would be taken for the directory, so dots are encoded too.
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}
