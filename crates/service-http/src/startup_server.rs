use std::{io, os::fd::AsFd};

use axum::{Router, middleware};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use saga_runtime::Readiness;

use super::{Problem, edge, health, serve};
use crate::HttpMetrics;

/// Answers in the place of a service that waits for its database: it is alive, it is not ready, and anything else is asked
/// to come back later.
#[derive(Debug)]
pub struct StartupServer {
    stop: CancellationToken,
    server: JoinHandle<io::Result<()>>,
}

impl StartupServer {
    /// Opens on the socket of `listener`, which stays as it is: who comes after the room is closed gets to the service.
    ///
    /// # Errors
    /// If the socket cannot be shared.
    pub fn open(listener: &TcpListener, readiness: Readiness) -> io::Result<Self> {
        let socket = std::net::TcpListener::from(listener.as_fd().try_clone_to_owned()?);
        let stop = CancellationToken::new();
        let server = serve(TcpListener::from_std(socket)?, router(readiness), stop.clone());
        Ok(Self { stop, server: tokio::spawn(server) })
    }

    /// Closes when those who are in it have been answered.
    pub async fn close(self) {
        self.stop.cancel();
        let _ = self.server.await;
    }
}

fn router(readiness: Readiness) -> Router {
    let (health, _) = health::routes(readiness).split_for_parts();
    let later = || async { Problem::unavailable("the service waits for its database; nothing was written") };
    health.fallback(later).layer(middleware::from_fn_with_state(HttpMetrics::default(), edge::guard))
}

#[cfg(test)]
mod tests {
    use crate::testing;

    use super::*;

    #[tokio::test]
    async fn it_is_alive_and_not_ready_and_asks_to_come_back() {
        let readiness = Readiness::new(["database"]);
        readiness.set("database", Err("away".to_owned()));
        let router = router(readiness);
        assert_eq!(testing::get(&router, "/health").await.0, 200);
        assert_eq!(testing::get(&router, "/health/ready").await.0, 503);
        let (status, headers, body) = testing::get(&router, "/api/v1/orders/1").await;
        assert_eq!((status, headers.contains_key("retry-after")), (503, true), "{body}");
    }
}
