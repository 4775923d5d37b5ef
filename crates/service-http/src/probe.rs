use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use axum::http::Method;

use crate::{ClientTls, HttpClient};

/// Shorter than the usual timeout of a container's health check.
const TIMEOUT: Duration = Duration::from_secs(4);

/// Sends a GET request for `path` to the service at `address`, which has TLS or not. It is the health check of a
/// container that contains only the service. It does not verify the certificate.
///
/// # Errors
/// If there is no response, or its status is not 200; the error contains the body.
pub async fn probe(mut address: SocketAddr, tls: bool, path: &str) -> Result<()> {
    if address.ip().is_unspecified() {
        address.set_ip(if address.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() });
    }
    let (scheme, tls) = if tls { ("https", Some(ClientTls::anybody())) } else { ("http", None) };
    let client = HttpClient::new(tls, TIMEOUT);
    let request = client.request(Method::GET, &format!("{scheme}://{address}{path}")).timeout(TIMEOUT);
    let answer = async {
        let response = request.send().await?;
        let status = response.status();
        anyhow::Ok((status, response.text().await?))
    };
    let (status, body) = answer.await.with_context(|| format!("no answer from {address}"))?;
    if status.is_success() { Ok(()) } else { bail!("{address}{path} responds with {status}: {body}") }
}
