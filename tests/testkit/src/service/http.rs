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
}

impl HttpClient {
    /// A client of the service at `address`.
    #[must_use]
    pub fn new(address: SocketAddr) -> Self {
        Self { client: Client::builder().no_proxy().build().unwrap(), address }
    }

    /// The address of the service.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A request to be sent with [`answer`], or by itself if the answer is a stream.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("http://{}{path}", self.address))
    }

    /// The answer to a GET.
    pub async fn get(&self, path: &str) -> Answer {
        answer(self.request(Method::GET, path)).await
    }

    /// The answer to a POST of JSON.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        answer(self.request(Method::POST, path).json(body)).await
    }
}

/// An answer over HTTP, read to its end.
#[derive(Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// All headers.
    pub headers: HeaderMap,
    /// The body as it came.
    pub text: String,
    /// The body as JSON; a string if it is none.
    pub body: Value,
}

/// Sends `request` and reads the answer.
pub async fn answer(request: RequestBuilder) -> Answer {
    let response = within_timeout("an answer", request.send()).await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let text = within_timeout("the body of an answer", response.text()).await.unwrap();
    let body = serde_json::from_str(&text).unwrap_or_else(|_| Value::String(text.clone()));
    Answer { status, headers, text, body }
}

impl Answer {
    /// The value of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name.parse::<HeaderName>().unwrap()).map(|value| value.to_str().unwrap())
    }

    /// The path of the next page, from the `Link` header.
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
