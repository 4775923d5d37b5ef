use std::{net::SocketAddr, time::Duration};

use anyhow::{Context as _, Result, bail};
use axum::body::Body;
use hyper::{Request, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Below what container engines usually wait for a health check.
const TIMEOUT: Duration = Duration::from_secs(4);

/// Asks the service at `address` for `path`: the health check of a container that has nothing but the service in it.
///
/// # Errors
/// If nobody answers, or the answer is not 200: with what it says.
pub async fn probe(mut address: SocketAddr, path: &str) -> Result<()> {
    if address.ip().is_unspecified() {
        address.set_ip(if address.is_ipv4() { [127, 0, 0, 1].into() } else { std::net::Ipv6Addr::LOCALHOST.into() });
    }
    let answer = tokio::time::timeout(TIMEOUT, ask(address, path)).await;
    let (status, said) = answer.with_context(|| format!("no answer from {address} within {TIMEOUT:?}"))??;
    if status.is_success() { Ok(()) } else { bail!("{address}{path} says {status}: {said}") }
}

async fn ask(address: SocketAddr, path: &str) -> Result<(hyper::StatusCode, String)> {
    let stream = TcpStream::connect(address).await.with_context(|| format!("nobody listens on {address}"))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::get(path).header("host", address.to_string()).body(Body::empty())?;
    let conversation = async {
        let answer = sender.send_request(request).await?;
        let status = answer.status();
        let said = axum::body::to_bytes(Body::new(answer.into_body()), 64 * 1024).await?;
        anyhow::Ok((status, String::from_utf8_lossy(&said).into_owned()))
    };
    tokio::select! {
        answer = conversation => answer,
        ended = connection => {
            ended?;
            bail!("{address} closed the connection")
        }
    }
}
