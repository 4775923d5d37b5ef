//! How load is sent: one connection to the order service, one order at a time.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, bail};
use http_body_util::{BodyExt as _, Full};
use hyper::{
    Request, StatusCode,
    body::Bytes,
    client::conn::http1::{SendRequest, handshake},
};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

/// A connection to the order service.
pub(crate) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    host: String,
    /// The API key, if it sends one.
    key: Option<String>,
}

/// What a response waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// The order's end, up to the service's own limit.
    ForTheEnd,
    /// Only that the order is durable (`Prefer: respond-async`).
    Durable,
}

/// The response of the service.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Answer {
    /// 200: the order has ended.
    Ended {
        /// How it has ended.
        confirmed: bool,
    },
    /// 202: the order is in progress.
    Pending,
    /// 503: the order was refused.
    Refused,
}

impl Connection {
    /// Opens a connection, whose requests have this API key.
    pub(crate) async fn open(address: SocketAddr, key: Option<String>) -> Result<Self> {
        let stream = TcpStream::connect(address).await.context("cannot connect")?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self { sender, host: address.to_string(), key })
    }

    /// Places an order. A response that is none of [`Answer`] is an error.
    pub(crate) async fn place(&mut self, body: String, wait: Wait) -> Result<Answer> {
        let (status, body) = self.post("/api/v1/orders", body, wait).await?;
        answer(status, &body)
    }

    /// Places an order and, once it is confirmed, refunds it with its goods. The refund is durable then.
    pub(crate) async fn place_and_refund(&mut self, body: String) -> Result<Answer> {
        let (status, body) = self.post("/api/v1/orders", body, Wait::ForTheEnd).await?;
        let answer = answer(status, &body)?;
        if let Answer::Ended { confirmed: true } = answer {
            let order: Value = serde_json::from_slice(&body)?;
            let path = format!("/api/v1/orders/{}/refunds", order["order_id"]);
            let (status, body) = self.post(&path, r#"{"restock":true}"#.to_owned(), Wait::ForTheEnd).await?;
            if status != StatusCode::ACCEPTED {
                bail!("{status}: {}", String::from_utf8_lossy(&body));
            }
        }
        Ok(answer)
    }

    async fn post(&mut self, path: &str, body: String, wait: Wait) -> Result<(StatusCode, Bytes)> {
        let mut request = Request::post(path).header("host", &self.host).header("content-type", "application/json");
        if let Some(key) = &self.key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        if wait == Wait::Durable {
            request = request.header("prefer", "respond-async");
        }
        let response = self.sender.send_request(request.body(Full::new(Bytes::from(body)))?).await?;
        let status = response.status();
        Ok((status, response.into_body().collect().await?.to_bytes()))
    }
}

fn answer(status: StatusCode, body: &[u8]) -> Result<Answer> {
    Ok(match status {
        StatusCode::OK => Answer::Ended { confirmed: body.windows(11).any(|window| window == b"\"CONFIRMED\"") },
        StatusCode::ACCEPTED => Answer::Pending,
        StatusCode::SERVICE_UNAVAILABLE => Answer::Refused,
        other => bail!("{other}: {}", String::from_utf8_lossy(body)),
    })
}
