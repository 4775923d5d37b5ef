use std::{
    fmt, io,
    sync::{Arc, PoisonError, RwLock},
    time::SystemTime,
};

use anyhow::{Context as _, Result};
use prometheus_client::registry::Registry;
use rustls::{
    ServerConfig,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use rustls_pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::{CertificateFiles, ClientTls, certificate::Loaded, metrics::TlsMetrics, provider, reload::watch};

/// The TLS of a process's listeners: 1.2 and 1.3, HTTP/1.1 by ALPN. Clones share the certificate, which is replaced
/// when its files change; connections that are open stay as they are.
#[derive(Clone)]
pub struct ServerTls {
    acceptor: TlsAcceptor,
    shared: Arc<Shared>,
}

/// What a client sent first.
pub(crate) enum Accepted<S> {
    /// A handshake, which succeeded.
    Tls(Box<TlsStream<S>>),
    /// A request without TLS.
    PlainHttp(S),
}

/// What the listeners and the reload share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) files: CertificateFiles,
    current: Arc<Current>,
    metrics: TlsMetrics,
}

/// The certificate that is served.
#[derive(Debug)]
pub(super) struct Current(RwLock<Keys>);

#[derive(Debug)]
struct Keys {
    key: Arc<CertifiedKey>,
    /// The one before, which handshakes that have begun may still use.
    before: Option<Arc<CertifiedKey>>,
}

/// The type of a TLS record with which a handshake begins.
const HANDSHAKE: u8 = 0x16;

/// How many seconds before its end a certificate is to be replaced: two weeks.
const REPLACE_WITHIN: i64 = 14 * 24 * 60 * 60;

impl ServerTls {
    /// Reads the certificate, and watches its files from then on, in a task of the current runtime.
    ///
    /// # Errors
    /// If a file cannot be read, or they do not contain a certificate with its key. The error names the file.
    pub fn load(files: CertificateFiles) -> Result<Self> {
        let (content, loaded) = files.load()?;
        let metrics = TlsMetrics::default();
        let current = Arc::new(Current(RwLock::new(Keys { key: Arc::clone(&loaded.key), before: None })));
        let config = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
        let config = config.context("TLS cannot be used")?.with_no_client_auth();
        let mut config = config.with_cert_resolver(Arc::<Current>::clone(&current));
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let shared = Arc::new(Shared { files, current, metrics });
        shared.announce(&loaded);
        tokio::spawn(watch(Arc::downgrade(&shared), content));
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)), shared })
    }

    /// Returns the TLS of a client in this process. It trusts the certificate of these listeners, whatever names that
    /// has, and no other.
    #[must_use]
    pub fn client(&self) -> ClientTls {
        ClientTls::pinned(Arc::clone(&self.shared.current))
    }

    /// Registers when the certificate expires, and how often it was replaced.
    pub fn register_metrics(&self, registry: &mut Registry) {
        self.shared.metrics.register(registry);
    }

    /// Carries out a handshake on `stream`, whose first byte is `first`.
    ///
    /// # Errors
    /// If it fails.
    pub(crate) async fn accept<S>(&self, first: u8, stream: S) -> io::Result<Accepted<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        if first != HANDSHAKE && first.is_ascii_uppercase() {
            return Ok(Accepted::PlainHttp(stream));
        }
        let accepted = self.acceptor.accept(stream).await;
        accepted.map(|stream| Accepted::Tls(Box::new(stream))).inspect_err(|_| {
            self.shared.metrics.failed_handshakes.inc();
        })
    }
}

impl Shared {
    /// Takes another certificate into use.
    pub(super) fn replace(&self, loaded: Loaded) {
        self.announce(&loaded);
        let mut keys = self.current.0.write().unwrap_or_else(PoisonError::into_inner);
        keys.before = Some(std::mem::replace(&mut keys.key, loaded.key));
        self.metrics.reloads.inc();
    }

    /// Reports that the files cannot be used.
    pub(super) fn keep(&self, error: &str) {
        self.metrics.failed_reloads.inc();
        tracing::error!(error, "the changed certificate cannot be used; the one before is served on");
    }

    /// Logs and counts when a certificate expires. One that has expired is served all the same: what to make of it is
    /// for the clients to decide, and they say why.
    fn announce(&self, loaded: &Loaded) {
        self.metrics.not_after.set(loaded.not_after);
        let file = self.files.certificate.display();
        tracing::info!(%file, expires = loaded.expires, "the certificate is in use");
    }

    /// Returns for how many seconds the certificate is still valid; negative after its end.
    fn seconds_left(&self) -> i64 {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        self.metrics.not_after.get().saturating_sub(i64::try_from(now.as_secs()).unwrap_or(i64::MAX))
    }

    /// Returns whether the certificate expires soon, or has expired.
    pub(super) fn is_to_be_replaced(&self) -> bool {
        self.seconds_left() < REPLACE_WITHIN
    }

    /// Logs that the certificate is to be replaced.
    pub(super) fn remind(&self) {
        let (file, left) = (self.files.certificate.display(), self.seconds_left());
        if left <= 0 {
            tracing::warn!(%file, "the certificate has expired; clients do not trust it: replace it");
        } else {
            let hours_left = left / 3_600;
            tracing::warn!(%file, hours_left, "the certificate expires soon: replace it");
        }
    }
}

impl Current {
    /// Returns whether `certificate` is the one that is served, or was before.
    pub(super) fn is(&self, certificate: &CertificateDer<'_>) -> bool {
        let keys = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let mut served = std::iter::once(&keys.key).chain(&keys.before).filter_map(|key| key.cert.first());
        served.any(|served| served == certificate)
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner).key))
    }
}

/// Omits the key.
impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ServerTls").field(&self.shared.files).finish()
    }
}
