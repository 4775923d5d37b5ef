//! A client of the three services, as the tests use it.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Result, bail};
use reqwest::{
    Method, RequestBuilder, StatusCode,
    header::{AUTHORIZATION, HeaderMap, HeaderValue},
};
use serde_json::{Value, json};

use crate::load::Mix;

/// A client of one running system.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    /// The addresses of order, inventory and payment.
    pub addresses: [SocketAddr; 3],
}

/// How long a state is waited for before that counts as a failure.
const TIMEOUT: Duration = Duration::from_secs(60);

impl Client {
    /// Creates a client of the services at these addresses: order, inventory, payment.
    ///
    /// # Errors
    /// If no HTTP client can be created.
    pub fn new(addresses: [SocketAddr; 3]) -> Result<Self> {
        Ok(Self { http: reqwest::Client::builder().no_proxy().timeout(TIMEOUT).build()?, addresses })
    }

    /// Creates a client that sends this API key with each request that has no other.
    ///
    /// # Errors
    /// If no HTTP client can be created.
    pub fn with_key(addresses: [SocketAddr; 3], key: &str) -> Result<Self> {
        let headers = HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::try_from(format!("Bearer {key}"))?)]);
        let http = reqwest::Client::builder().no_proxy().timeout(TIMEOUT).default_headers(headers).build()?;
        Ok(Self { http, addresses })
    }

    /// Returns a request to the order service.
    pub fn order(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("http://{}{path}", self.addresses[0]))
    }

    /// Returns a request to the inventory service.
    pub fn inventory(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("http://{}{path}", self.addresses[1]))
    }

    /// Returns a request to the payment service.
    pub fn payment(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("http://{}{path}", self.addresses[2]))
    }

    /// Sets the stock of `sku` to `quantity`.
    ///
    /// # Errors
    /// If the answer is not 201.
    pub async fn put_in_stock(&self, sku: &str, quantity: i64) -> Result<Value> {
        let body = json!({"item_sku": sku, "quantity": quantity});
        let (status, body) = answer(self.inventory(Method::POST, "/api/v1/stock/items").json(&body)).await?;
        if status == StatusCode::CREATED { Ok(body) } else { bail!("{status}: {body}") }
    }

    /// Sets the stock of each SKU that `mix` orders to a billion.
    ///
    /// # Errors
    /// As for [`Self::put_in_stock`].
    pub async fn stock_up(&self, mix: Mix) -> Result<()> {
        for sku in 0..mix.skus() {
            self.put_in_stock(&format!("SKU-{sku}"), 1_000_000_000).await?;
        }
        Ok(())
    }

    /// Returns the stock of `sku`.
    ///
    /// # Errors
    /// If the answer is not 200.
    pub async fn stock(&self, sku: &str) -> Result<Value> {
        ok(self.inventory(Method::GET, &format!("/api/v1/stock/{sku}"))).await
    }

    /// Places an order for `quantity` of `sku`, for `amount` dollars.
    ///
    /// # Errors
    /// If there is no answer.
    pub async fn place(&self, sku: &str, quantity: i64, amount: u64, key: Option<&str>) -> Result<(StatusCode, Value)> {
        let mut body = json!({"item_sku": sku, "quantity": quantity, "amount": amount, "currency": "USD"});
        if let Some(key) = key {
            body["idempotency_key"] = key.into();
        }
        answer(self.order(Method::POST, "/api/v1/orders/").json(&body)).await
    }

    /// Returns all orders, read page by page.
    ///
    /// # Errors
    /// If an answer is not 200.
    pub async fn orders(&self) -> Result<Vec<Value>> {
        let (mut all, mut after) = (Vec::new(), 0);
        loop {
            let page = ok(self.order(Method::GET, &format!("/api/v1/orders/?limit=1000&after={after}"))).await?;
            let Value::Array(mut page) = page else { bail!("not a list: {page}") };
            match page.last().and_then(|order| order["order_id"].as_i64()) {
                Some(last) => after = last,
                None => return Ok(all),
            }
            all.append(&mut page);
        }
    }

    /// Waits until `reached` is true for what `read` returns.
    ///
    /// # Errors
    /// If it is not within the time limit.
    pub async fn until<T, F>(&self, what: &str, mut read: impl FnMut() -> F, reached: impl Fn(&T) -> bool) -> Result<T>
    where
        F: Future<Output = Result<T>>,
        T: std::fmt::Debug,
    {
        let deadline = tokio::time::Instant::now() + TIMEOUT;
        let mut steps = tokio::time::interval(Duration::from_millis(5));
        loop {
            steps.tick().await;
            let state = read().await?;
            if reached(&state) {
                return Ok(state);
            }
            if tokio::time::Instant::now() > deadline {
                bail!("{what}: not even after {TIMEOUT:?}; it is {state:?}");
            }
        }
    }
}

/// Returns the status and the JSON of the response.
///
/// # Errors
/// If there is none, or it is not JSON.
pub async fn answer(request: RequestBuilder) -> Result<(StatusCode, Value)> {
    let response = request.send().await?;
    Ok((response.status(), response.json().await?))
}

/// Returns the JSON of a response that has to be 200.
///
/// # Errors
/// If it is not.
pub async fn ok(request: RequestBuilder) -> Result<Value> {
    let (status, body) = answer(request).await?;
    if status == StatusCode::OK { Ok(body) } else { bail!("{status}: {body}") }
}
