use std::{io, os::fd::AsFd};

use axum::{Router, middleware};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use saga_runtime::Readiness;

use super::{Edge, HttpMetrics, ListenerConfig, Problem, edge, health, serve};

/// Answers requests while the service waits for its database. The liveness check succeeds, the readiness check fails,
/// and all other requests get a 503 with `Retry-After`.
#[derive(Debug)]
pub struct StartupServer {
    stop: CancellationToken,
    server: JoinHandle<io::Result<()>>,
}

impl StartupServer {
    /// Starts to serve on the socket of `listener`, which stays open: connections that arrive after
    /// [`close`](Self::close) are accepted by the service.
    ///
    /// # Errors
    /// If the socket cannot be duplicated.
    pub fn open(listener: &TcpListener, readiness: Readiness, config: ListenerConfig) -> io::Result<Self> {
        let socket = std::net::TcpListener::from(listener.as_fd().try_clone_to_owned()?);
        let stop = CancellationToken::new();
        let (listener, until) = (TcpListener::from_std(socket)?, stop.clone());
        let server = async move { serve(listener, router(readiness), config, &HttpMetrics::default(), until).await };
        Ok(Self { stop, server: tokio::spawn(server) })
    }

    /// Stops accepting connections, and returns when the running requests are answered.
    pub async fn close(self) {
        self.stop.cancel();
        let _ = self.server.await;
    }
}

fn router(readiness: Readiness) -> Router {
    let (health, _) = health::routes(readiness).split_for_parts();
    let later = || async { Problem::unavailable("the service waits for its database; nothing was written") };
    health.fallback(later).layer(middleware::from_fn_with_state(Edge::default(), edge::guard))
}

#[cfg(test)]
mod tests {
    use crate::testing;

    use super::*;

    #[tokio::test]
    async fn it_is_alive_and_not_ready_and_asks_for_a_retry() {
        let readiness = Readiness::new(["database"]);
        readiness.set("database", Err("unavailable".to_owned()));
        let router = router(readiness);
        assert_eq!(testing::get(&router, "/health").await.0, 200);
        assert_eq!(testing::get(&router, "/health/ready").await.0, 503);
        let (status, headers, body) = testing::get(&router, "/api/v1/orders/1").await;
        assert_eq!((status, headers.contains_key("retry-after")), (503, true), "{body}");
    }
}
