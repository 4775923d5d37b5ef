use std::net::SocketAddr;

use reqwest::{
    Client, Method, RequestBuilder,
    header::{HeaderMap, HeaderName},
};
use serde_json::{Value, json};

use super::within_timeout;

/// A client of the service at one address.
#[derive(Debug, Clone)]
pub struct HttpClient {
    client: Client,
    address: SocketAddr,
    key: Option<String>,
}

impl HttpClient {
    /// Creates a client of the service at `address`.
    #[must_use]
    pub fn new(address: SocketAddr) -> Self {
        Self { client: Client::builder().no_proxy().build().unwrap(), address, key: None }
    }

    /// Returns a client that sends this API key, or another bearer token, with each request.
    #[must_use]
    pub fn with_key(&self, key: &str) -> Self {
        Self { key: Some(key.to_owned()), ..self.clone() }
    }

    /// Returns the address of the service.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns a request, to be sent with [`answer`] or, if the response is a stream, with its own `send`.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.client.request(method, format!("http://{}{path}", self.address));
        match &self.key {
            Some(key) => request.bearer_auth(key),
            None => request,
        }
    }

    /// Sends a GET.
    pub async fn get(&self, path: &str) -> Answer {
        answer(self.request(Method::GET, path)).await
    }

    /// Sends a POST with a JSON body.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        answer(self.request(Method::POST, path).json(body)).await
    }
}

/// An HTTP response, read to its end.
#[derive(Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// All headers.
    pub headers: HeaderMap,
    /// The body as text.
    pub text: String,
    /// The body as JSON; a JSON string with the text if it is not JSON.
    pub body: Value,
}

/// Sends `request` and reads the response.
pub async fn answer(request: RequestBuilder) -> Answer {
    let response = within_timeout("an answer", request.send()).await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let text = within_timeout("the body of an answer", response.text()).await.unwrap();
    let body = serde_json::from_str(&text).unwrap_or_else(|_| Value::String(text.clone()));
    Answer { status, headers, text, body }
}

impl Answer {
    /// Returns the value of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name.parse::<HeaderName>().unwrap()).map(|value| value.to_str().unwrap())
    }

    /// Returns the path of the next page, from the `Link` header.
    #[must_use]
    pub fn next_page(&self) -> Option<String> {
        let link = self.header("link")?;
        let path = link.strip_prefix('<').and_then(|rest| rest.strip_suffix(r#">; rel="next""#));
        Some(path.unwrap_or_else(|| panic!("not a link to the next page: {link}")).to_owned())
    }

    /// Asserts that it is a problem document with this status and detail.
    pub fn assert_problem(&self, status: u16, detail: &str) {
        assert_eq!((self.status, self.header("content-type")), (status, Some("application/problem+json")), "{self:?}");
        assert_eq!((&self.body["status"], &self.body["detail"]), (&json!(status), &json!(detail)), "{self:?}");
        assert!(self.body["type"].is_string() && self.body["title"].is_string(), "{self:?}");
        assert!(self.body["instance"].as_str().is_some_and(|path| path.starts_with('/')), "{self:?}");
    }
}
