//! Opens connections with a timeout, a name that operators recognize, and TLS if the address starts with `amqps://`.

use std::{
    fmt, io,
    net::{Shutdown, TcpStream},
    os::fd::AsFd,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use lapin::{
    AsyncTcpStream, Connection, ConnectionProperties,
    tcp::{AMQPUriTcpExt, RustlsConnector, RustlsConnectorConfig, TLSConfig},
    uri::{AMQPScheme, AMQPUri},
};
use rustls_pki_types::{CertificateDer, pem::PemObject};

use super::{
    declare::ensure,
    failure::{BrokerFailure, Phase},
    nodes::{Nodes, unavailable},
    settings::{RabbitMqSettings, SettingsError, address, read},
    topology::Topology,
};
use saga_runtime::broker::BrokerError;
use saga_support::{Backoff, host_name};

/// Time limit for opening a connection to one node: DNS, TCP, TLS, the AMQP handshake, and the declarations that
/// follow.
const OPEN_TIMEOUT: Duration = Duration::from_secs(15);
/// Time limit for everything before the declarations, if there are several nodes. A suspended node accepts a connection
/// and does not answer.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// Pause before the first retry. RabbitMQ 3.10 fails some of the declarations of a quorum queue if several services
/// that start together make them at the same time, and fails to consume a queue that is just being created.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// An orderly close only avoids a warning in the broker's log. If it takes longer, the connection is blocked or lost.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// Heartbeat in seconds, unless the address sets another with `?heartbeat=`. A lost peer is noticed after about twice
/// this time.
const HEARTBEAT: u16 = 10;

/// Opens connections for one service, to the nodes of one broker.
pub(crate) struct Connector {
    nodes: Nodes,
    /// Loaded once, because it reads the machine's certificates, and because connections that share it can resume TLS
    /// sessions.
    tls: Option<RustlsConnector>,
    host: String,
    service: &'static str,
}

impl Connector {
    pub(crate) fn new(settings: &RabbitMqSettings) -> Result<Self, SettingsError> {
        let mut uris = settings.uris()?;
        for uri in &mut uris {
            uri.query.heartbeat.get_or_insert(HEARTBEAT);
        }
        let has_tls = uris.iter().any(|uri| uri.scheme == AMQPScheme::AMQPS);
        let tls = has_tls.then(|| tls(settings)).transpose()?;
        Ok(Self { nodes: Nodes::new(uris), tls, host: host_name(), service: settings.service.name })
    }

    /// Runs `work`, which prepares a connection, with one node after the other until it succeeds.
    pub(crate) async fn on_some_node<'a, T, Work>(
        &'a self,
        work: impl Fn(&'a AMQPUri) -> Work,
    ) -> Result<T, BrokerError>
    where
        Work: Future<Output = Result<T, BrokerFailure>>,
    {
        let mut failed = Vec::new();
        for node in self.nodes.in_turn() {
            match with_timeout(|| work(node)).await {
                Ok(done) => {
                    if !failed.is_empty() {
                        let (address, error) = (address(node), unavailable(failed));
                        tracing::warn!(%error, "connected to {address}, because other nodes are unavailable");
                    }
                    return Ok(done);
                }
                Err(failure) => failed.push((address(node), failure)),
            }
        }
        Err(unavailable(failed))
    }

    /// Opens a connection to `node` and makes sure that everything in `topology` exists.
    pub(crate) async fn open(
        &self,
        node: &AMQPUri,
        purpose: &str,
        topology: &Topology,
    ) -> Result<Connection, BrokerFailure> {
        let timeout = if self.nodes.has_several() { HANDSHAKE_TIMEOUT } else { OPEN_TIMEOUT };
        let connection = tokio::time::timeout(timeout, self.connect(node, purpose)).await;
        let connection = connection.map_err(|_| no_answer(timeout))?;
        let connection = connection.map_err(|error| BrokerFailure::of(&error, Phase::Opening))?;
        ensure(&connection, topology).await?;
        Ok(connection)
    }

    /// Names a connection after the service, the machine and the purpose, such as `order@host publish`.
    pub(crate) fn name(&self, purpose: &str) -> String {
        format!("{}@{} {purpose}", self.service, self.host)
    }

    async fn connect(&self, node: &AMQPUri, purpose: &str) -> lapin::Result<Connection> {
        // lapin's own recovery stays off (the default): it gives up after a while, and it does not notice a closed
        // channel.
        let properties = ConnectionProperties::default().with_connection_name(self.name(purpose).into());
        let runtime = lapin::runtime::default_runtime()?;
        let tls = self.tls.clone().filter(|_| node.scheme == AMQPScheme::AMQPS);
        let opening = Opening::default();
        let socket = Arc::downgrade(&opening.0);
        // Without this connector, lapin would load the machine's certificates for each connection, fail if there are
        // none, and trust them in addition to the configured ones.
        let connecting = Connection::connector(
            node.clone(),
            runtime,
            async move |uri, runtime| {
                let host = uri.authority.host.clone();
                let plain = AMQPUri { scheme: AMQPScheme::AMQP, ..uri };
                let stream = plain.connect_with_config_async(TLSConfig::default(), &runtime).await?;
                if let AsyncTcpStream::Plain(stream) = &stream {
                    let opening = socket.upgrade().ok_or(io::ErrorKind::TimedOut).map_err(io::Error::from)?;
                    let duplicate = stream.get_ref().as_fd().try_clone_to_owned()?;
                    *opening.lock().unwrap_or_else(PoisonError::into_inner) = Some(duplicate.into());
                }
                Ok(match &tls {
                    Some(tls) => stream.into_rustls(tls, &host).await?,
                    None => stream,
                })
            },
            properties,
        );
        let connection = connecting.await?;
        opening.done();
        Ok(connection)
    }
}

/// The socket of a connection that is being opened. It is shut down if opening is abandoned. Otherwise lapin's thread
/// would keep waiting for a broker that hangs, and each retry would add another thread.
#[derive(Default)]
struct Opening(Arc<Mutex<Option<TcpStream>>>);

impl Opening {
    fn done(self) {
        self.take();
    }

    fn take(&self) -> Option<TcpStream> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        if let Some(socket) = self.take() {
            // It does not matter if the socket is already closed.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

/// Omits the password.
impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Connector").field(&self.nodes).finish()
    }
}

/// Runs `work` with a timeout. Retries it if the broker reports an internal failure.
async fn with_timeout<T, Work>(work: impl Fn() -> Work) -> Result<T, BrokerFailure>
where
    Work: Future<Output = Result<T, BrokerFailure>>,
{
    let mut failed = None;
    let done = tokio::time::timeout(OPEN_TIMEOUT, async {
        let mut backoff = Backoff::growing(FIRST_PAUSE, OPEN_TIMEOUT);
        loop {
            match work().await {
                Err(BrokerFailure::Failed(reason)) => {
                    tracing::debug!(reason, "the broker failed to prepare a connection; retrying after a pause");
                    failed = Some(BrokerFailure::Failed(reason));
                }
                done => return done,
            }
            tokio::time::sleep(backoff.next_pause()).await;
        }
    });
    done.await.unwrap_or_else(|_| Err(failed.unwrap_or_else(|| no_answer(OPEN_TIMEOUT))))
}

fn no_answer(timeout: Duration) -> BrokerFailure {
    BrokerFailure::Lost(format!("no answer within {timeout:?}"))
}

/// Closes the connection in an orderly way, or drops it if that takes too long.
pub(crate) async fn close(connection: Connection) {
    if tokio::time::timeout(CLOSE_TIMEOUT, connection.close(200, "OK".into())).await.is_err() {
        tracing::debug!("a connection to the broker did not close in time and is dropped");
    }
}

fn tls(settings: &RabbitMqSettings) -> Result<RustlsConnector, SettingsError> {
    let source = settings.ca_file.as_ref().map_or_else(|| "this machine".to_owned(), |path| path.display().to_string());
    let unusable = |why: String| SettingsError::Certificates { place: source.clone(), why };
    let config = match &settings.ca_file {
        None => RustlsConnectorConfig::new_with_native_certs().map_err(|error| unusable(error.to_string()))?,
        Some(path) => {
            let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(read(path)?.as_bytes()).collect();
            let certificates = certificates.map_err(|error| unusable(error.to_string()))?;
            RustlsConnectorConfig::default().with_parsable_certificates(certificates)
        }
    };
    // This uses the process's default crypto provider, and installs ring if there is none yet.
    config.connector_with_no_client_auth().map_err(|error| unusable(error.to_string()))
}
