//! TLS by rustls: the certificate of the listeners, and whom clients trust.

mod certificate;
mod client;
mod metrics;
mod reload;
mod server;
#[cfg(test)]
pub(crate) mod testing;

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};

pub use certificate::CertificateFiles;
pub use client::ClientTls;
pub(crate) use server::Accepted;
pub use server::ServerTls;

/// The same provider as for the connections to PostgreSQL and RabbitMQ. It is named here, so that nothing depends on
/// which one the process has installed.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}
