//! Opens connections: under a timeout, with a name that operators know, with TLS where the address says so.

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
    settings::{RabbitMqSettings, SettingsError, address, read},
    topology::Topology,
};
use saga_runtime::broker::BrokerError;
use saga_support::{Backoff, host_name};

/// For the whole way: name, TCP, TLS, the AMQP handshake and what is done first.
const OPEN_TIMEOUT: Duration = Duration::from_secs(15);
/// RabbitMQ 3.10 fails at some of the declarations of a quorum queue that come at the same time, from services that start
/// together, and at consuming one that is being made.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// A courtesy to the broker's log: whoever waits longer is blocked or cut off.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// Seconds, unless the address has another `?heartbeat=`. A peer that vanished is noticed after about twice that.
const HEARTBEAT: u16 = 10;

/// What it takes to open a connection.
pub(crate) struct Connector {
    uri: AMQPUri,
    /// Loaded once: it reads the machine's certificates, and connections that share it resume TLS sessions.
    tls: Option<RustlsConnector>,
    host: String,
    service: &'static str,
}

impl Connector {
    pub(crate) fn new(settings: &RabbitMqSettings) -> Result<Self, SettingsError> {
        let mut uri = settings.uri()?;
        uri.query.heartbeat.get_or_insert(HEARTBEAT);
        let tls = match uri.scheme {
            AMQPScheme::AMQP => None,
            AMQPScheme::AMQPS => Some(tls(settings)?),
        };
        Ok(Self { uri, tls, host: host_name(), service: settings.service.name })
    }

    /// Does what is to be done before a connection is of use, under a timeout; its errors say which broker. It is done again
    /// where the broker fails at it.
    pub(crate) async fn with_timeout<T, Work>(&self, work: impl Fn() -> Work) -> Result<T, BrokerError>
    where
        Work: Future<Output = Result<T, BrokerFailure>>,
    {
        let mut failed = None;
        let done = tokio::time::timeout(OPEN_TIMEOUT, async {
            let mut backoff = Backoff::growing(FIRST_PAUSE, OPEN_TIMEOUT);
            loop {
                match work().await {
                    Err(BrokerFailure::Failed(reason)) => {
                        tracing::debug!(
                            reason,
                            "the broker failed at what a connection needs; once more after a pause"
                        );
                        failed = Some(BrokerFailure::Failed(reason));
                    }
                    done => return done,
                }
                tokio::time::sleep(backoff.next_pause()).await;
            }
        });
        let done = done.await.unwrap_or_else(|_| {
            Err(failed.unwrap_or_else(|| BrokerFailure::Lost(format!("no answer within {OPEN_TIMEOUT:?}"))))
        });
        done.map_err(|failure| failure.at(&self.address()))
    }

    /// Opens a connection with everything of `topology` in place.
    pub(crate) async fn open(&self, purpose: &str, topology: &Topology) -> Result<Connection, BrokerFailure> {
        let connection = self.connect(purpose).await.map_err(|error| BrokerFailure::of(&error, Phase::Opening))?;
        ensure(&connection, topology).await?;
        Ok(connection)
    }

    /// The broker's, for people: without the password.
    pub(crate) fn address(&self) -> String {
        address(&self.uri)
    }

    /// `order@host`: which service on which machine; and what the connection is for.
    pub(crate) fn name(&self, purpose: &str) -> String {
        format!("{}@{} {purpose}", self.service, self.host)
    }

    async fn connect(&self, purpose: &str) -> lapin::Result<Connection> {
        // The library's own recovery is off unless asked for: it gives up after a while, and does not see a closed channel.
        let properties = ConnectionProperties::default().with_connection_name(self.name(purpose).into());
        let runtime = lapin::runtime::default_runtime()?;
        let tls = self.tls.clone();
        let opening = Opening::default();
        let socket = Arc::downgrade(&opening.0);
        // The library itself would load the machine's certificates each time, fail where there are none, and trust them
        // beside the given ones.
        let connecting = Connection::connector(
            self.uri.clone(),
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

/// The socket of a connection that is being opened. It is cut off if that is given up: otherwise the library's thread would
/// go on waiting for the answer of a broker that hangs, and with each new try there would be one more.
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
            // One that is gone already is as good.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

/// Without the password.
impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Connector").field(&address(&self.uri)).finish()
    }
}

/// Closes in good order, if that is to be had soon.
pub(crate) async fn close(connection: Connection) {
    if tokio::time::timeout(CLOSE_TIMEOUT, connection.close(200, "OK".into())).await.is_err() {
        tracing::debug!("a connection to the broker did not close in time and is dropped");
    }
}

fn tls(settings: &RabbitMqSettings) -> Result<RustlsConnector, SettingsError> {
    let place = settings.ca_file.as_ref().map_or_else(|| "this machine".to_owned(), |path| path.display().to_string());
    let unusable = |why: String| SettingsError::Certificates { place: place.clone(), why };
    let config = match &settings.ca_file {
        None => RustlsConnectorConfig::new_with_native_certs().map_err(|error| unusable(error.to_string()))?,
        Some(path) => {
            let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(read(path)?.as_bytes()).collect();
            let certificates = certificates.map_err(|error| unusable(error.to_string()))?;
            RustlsConnectorConfig::default().with_parsable_certificates(certificates)
        }
    };
    // It takes the process's crypto provider, and makes ring that where there is none yet.
    config.connector_with_no_client_auth().map_err(|error| unusable(error.to_string()))
}
