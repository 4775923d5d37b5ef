//! RabbitMQ as its administrators see it: the management API.

use anyhow::{Context as _, Result, ensure};
use reqwest::{Method, RequestBuilder};
use serde_json::Value;

/// A client of the management API of one broker.
#[derive(Debug, Clone)]
pub struct Administrator {
    http: reqwest::Client,
    url: String,
    vhost: String,
}

impl Administrator {
    /// Creates a client for the broker whose management API is at `url`, and its virtual host `vhost`.
    ///
    /// # Errors
    /// If no HTTP client can be created.
    pub fn new(url: String, vhost: &str) -> Result<Self> {
        let http = reqwest::Client::builder().no_proxy().timeout(std::time::Duration::from_secs(20)).build()?;
        Ok(Self { http, url, vhost: vhost.replace('/', "%2F") })
    }

    /// Returns a request. In `path`, `{vhost}` stands for the virtual host.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}/api/{}", self.url, path.replace("{vhost}", &self.vhost)))
    }

    /// Returns the list at `path`.
    ///
    /// # Errors
    /// If there is none.
    pub async fn list(&self, path: &str) -> Result<Vec<Value>> {
        match self.request(Method::GET, path).send().await?.error_for_status()?.json().await? {
            Value::Array(list) => Ok(list),
            other => anyhow::bail!("not a list: {other}"),
        }
    }

    /// Returns the names of everything that is listed at `path`, sorted.
    ///
    /// # Errors
    /// If there is no such list.
    pub async fn names(&self, path: &str) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in self.list(path).await? {
            names.push(entry["name"].as_str().context("it has a name")?.to_owned());
        }
        names.sort();
        Ok(names)
    }

    /// Purges a queue.
    ///
    /// # Errors
    /// If it is not there.
    pub async fn purge(&self, queue: &str) -> Result<()> {
        self.delete(&format!("queues/{{vhost}}/{queue}/contents")).await
    }

    /// Deletes a queue and the messages in it.
    ///
    /// # Errors
    /// If it is not there.
    pub async fn delete_queue(&self, queue: &str) -> Result<()> {
        self.delete(&format!("queues/{{vhost}}/{queue}")).await
    }

    /// Deletes an exchange, and its bindings.
    ///
    /// # Errors
    /// If it is not there.
    pub async fn delete_exchange(&self, exchange: &str) -> Result<()> {
        self.delete(&format!("exchanges/{{vhost}}/{exchange}")).await
    }

    async fn delete(&self, path: &str) -> Result<()> {
        let answer = self.request(Method::DELETE, path).send().await?;
        let status = answer.status();
        ensure!(status.is_success(), "DELETE {path}: {status} {}", answer.text().await?);
        Ok(())
    }
}
