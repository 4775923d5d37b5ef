//! The server: accepts connections within limits, and serves HTTP/1.1 on each, with or without TLS.

mod activity;
mod config;
mod limits;
mod lingering_close;
mod metrics;
mod refuse;
mod stream;
mod table;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tls_tests;

use std::{convert::Infallible, error::Error, io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use axum::{Router, body::Body, extract::ConnectInfo, http::Response};
use hyper::{Request, body::Incoming, server::conn::http1};
use hyper_util::rt::TokioIo;
use saga_support::LogLimit;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use self::{
    activity::Activity,
    stream::{ObservedBody, ObservedStream},
    table::Table,
};
use crate::{Audience, HttpMetrics, ListTurns, ServerTls, tls::Accepted};

pub use config::ListenerConfig;
pub use limits::ConnectionLimits;
pub(crate) use metrics::ConnectionMetrics;
pub(crate) use table::Peer;

/// The largest head of a request, in bytes, and how much of a response is kept for a client that reads slowly.
const BUFFER_BYTES: usize = 32 * 1024;
/// How often the time limits are checked.
const CHECK_INTERVAL: Duration = Duration::from_millis(500);
/// The pause after an error of `accept` that is not the connection's.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How many connections may be in the course of being closed, beyond the limit of open ones.
const CLOSING: usize = 16;
/// How many connections are refused at a time with a response; further ones are just closed.
const REFUSING: usize = 16;

/// File descriptors that a listener uses beyond its [`ConnectionLimits::connections`].
pub const DESCRIPTORS_BEYOND_LIMIT: usize = CLOSING + REFUSING;

/// Serves HTTP/1.1 until `stop` is cancelled. Then it accepts no more connections, lets the running requests finish,
/// and returns.
///
/// No more connections are open than the limits of `config` allow. If one more arrives, one that waits for a request is
/// closed: that which has sent the fewest requests, and of several, that which has waited longest. If none waits, the
/// new one gets a 503.
///
/// With TLS, a handshake counts as part of the first request's head: it has the same time limit, and a connection that
/// has not finished it makes room for others. A request without TLS is answered with a 400.
///
/// It sets no deadline for the running requests; the caller does. Dropping this future closes all connections at once.
///
/// # Errors
/// Currently none: an error of a connection or of `accept` does not end the server.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    config: impl Into<ListenerConfig>,
    metrics: &HttpMetrics,
    stop: CancellationToken,
) -> io::Result<()> {
    let ListenerConfig { limits, tls, audience, list_turns } = config.into();
    let metrics = metrics.connections.clone();
    let mut server = Server {
        router,
        tls,
        audience,
        list_turns,
        epoch: Instant::now(),
        table: Table::new(limits, metrics.clone()),
        connections: JoinSet::new(),
        refusals: JoinSet::new(),
        stop: stop.clone(),
    };
    let hard_limit = limits.connections.saturating_add(CLOSING);
    let accept_log = LogLimit::new(Duration::from_secs(1));
    let mut checks = interval(CHECK_INTERVAL);
    checks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut accept_at = Instant::now();
    loop {
        let accept = async {
            sleep_until(accept_at).await;
            listener.accept().await
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            Some(ended) = server.connections.join_next_with_id() => {
                server.table.remove(ended.map_or_else(|error| error.id(), |(id, ())| id));
            }
            Some(_) = server.refusals.join_next() => {}
            _ = checks.tick() => server.table.close_expired(),
            accepted = accept, if server.connections.len() < hard_limit => match accepted {
                Ok((stream, peer)) => server.take(stream, peer),
                Err(error) if is_of_connection(&error) => {}
                Err(error) => {
                    // Usually there are no file descriptors left. Waiting keeps this from spinning.
                    metrics.accept_errors.inc();
                    if let Some(not_logged_before) = accept_log.admit() {
                        tracing::error!(%error, not_logged_before, "a connection could not be accepted");
                    }
                    server.table.make_room(None);
                    accept_at = Instant::now() + ACCEPT_PAUSE;
                }
            }
        }
    }
    drop(listener);
    while let Some(ended) = server.connections.join_next_with_id().await {
        server.table.remove(ended.map_or_else(|error| error.id(), |(id, ())| id));
    }
    Ok(())
}

/// Whether an error of `accept` concerns only the connection that was to be accepted.
fn is_of_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionRefused | ConnectionAborted | ConnectionReset)
}

struct Server {
    router: Router,
    tls: Option<ServerTls>,
    audience: Audience,
    list_turns: ListTurns,
    epoch: Instant,
    table: Table,
    /// Dropping these sets aborts their tasks, so the connections end with the server.
    connections: JoinSet<()>,
    refusals: JoinSet<()>,
    stop: CancellationToken,
}

impl Server {
    fn take(&mut self, stream: TcpStream, address: SocketAddr) {
        // Responses are small and written at once, so Nagle's algorithm would only delay them.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection goes on without TCP_NODELAY");
        }
        let peer = Peer::of(address.ip());
        if self.table.admit(peer) {
            let activity = Arc::new(Activity::new(self.epoch));
            let connection = Connection {
                address,
                activity: Arc::clone(&activity),
                audience: self.audience.clone(),
                list_turns: self.list_turns.clone(),
                router: self.router.clone(),
                stop: self.stop.clone(),
            };
            let task = self.connections.spawn(connection.serve(stream, self.tls.clone()));
            self.table.insert(peer, activity, task);
        } else if self.refusals.len() < REFUSING {
            self.refusals.spawn(refuse::refuse(stream, self.tls.clone()));
        }
    }
}

/// A connection that is being served.
struct Connection {
    address: SocketAddr,
    activity: Arc<Activity>,
    audience: Audience,
    list_turns: ListTurns,
    router: Router,
    stop: CancellationToken,
}

impl Connection {
    /// Carries out the handshake, if there is TLS, and serves the requests.
    async fn serve(self, stream: TcpStream, tls: Option<ServerTls>) {
        let Some(tls) = tls else {
            let stream = ObservedStream::new(stream, Arc::clone(&self.activity));
            return self.serve_requests(stream).await;
        };
        let observed = Arc::clone(&self.activity);
        let handshake = async {
            let first = refuse::first_byte(&stream).await?;
            tls.accept(first, ObservedStream::new(stream, observed)).await
        };
        // A client that has not finished its handshake has not sent a request, so a stop does not wait for it.
        match self.stop.run_until_cancelled(handshake).await {
            Some(Ok(Accepted::Tls(stream))) => self.serve_requests(*stream).await,
            Some(Ok(Accepted::PlainHttp(stream))) => refuse::refuse_plain(stream).await,
            Some(Err(error)) => tracing::debug!(%error, address = %self.address, "a TLS handshake failed"),
            None => {}
        }
    }

    /// Serves the requests of the connection in sequence. Each request carries the client's address.
    async fn serve_requests(self, mut stream: impl AsyncRead + AsyncWrite + Unpin) {
        let Self { address, activity, audience, list_turns, router, stop } = self;
        let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(ConnectInfo(address));
            request.extensions_mut().insert(audience.clone());
            request.extensions_mut().insert(list_turns.clone());
            let (begun, router) = (activity.begin_request(), router.clone());
            async move {
                let guard = begun?;
                let Ok::<Response<Body>, Infallible>(response) = router.oneshot(request.map(Body::new)).await;
                io::Result::Ok(response.map(|body| ObservedBody::new(body, guard)))
            }
        });
        // The table has the time limits, so hyper needs no timer.
        let connection = http1::Builder::new()
            .header_read_timeout(None)
            .max_buf_size(BUFFER_BYTES)
            .serve_connection(TokioIo::new(&mut stream), service);
        let end = {
            let mut connection = pin!(connection);
            tokio::select! {
                end = connection.as_mut() => end,
                () = stop.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            }
        };
        if let Err(error) = end {
            tracing::debug!(error = &error as &dyn Error, "a connection ended early");
        }
        // A stop waits for no client here, but what has arrived is read first.
        tokio::select! {
            biased;
            () = lingering_close::close(stream) => {}
            () = stop.cancelled() => {}
        }
    }
}
