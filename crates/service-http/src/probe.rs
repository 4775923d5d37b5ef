use std::{net::SocketAddr, time::Duration};

use anyhow::{Context as _, Result, bail};
use axum::body::Body;
use hyper::{Request, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Shorter than the usual timeout of a container's health check.
const TIMEOUT: Duration = Duration::from_secs(4);

/// Sends a GET request for `path` to the service at `address`. It is the health check of a container that contains only
/// the service.
///
/// # Errors
/// If there is no response, or its status is not 200; the error contains the body.
pub async fn probe(mut address: SocketAddr, path: &str) -> Result<()> {
    if address.ip().is_unspecified() {
        address.set_ip(if address.is_ipv4() { [127, 0, 0, 1].into() } else { std::net::Ipv6Addr::LOCALHOST.into() });
    }
    let answer = tokio::time::timeout(TIMEOUT, get(address, path)).await;
    let (status, body) = answer.with_context(|| format!("no answer from {address} within {TIMEOUT:?}"))??;
    if status.is_success() { Ok(()) } else { bail!("{address}{path} responds with {status}: {body}") }
}

async fn get(address: SocketAddr, path: &str) -> Result<(hyper::StatusCode, String)> {
    let stream = TcpStream::connect(address).await.with_context(|| format!("cannot connect to {address}"))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::get(path).header("host", address.to_string()).body(Body::empty())?;
    let exchange = async {
        let answer = sender.send_request(request).await?;
        let status = answer.status();
        let body = axum::body::to_bytes(Body::new(answer.into_body()), 64 * 1024).await?;
        anyhow::Ok((status, String::from_utf8_lossy(&body).into_owned()))
    };
    tokio::select! {
        answer = exchange => answer,
        ended = connection => {
            ended?;
            bail!("{address} closed the connection")
        }
    }
}
