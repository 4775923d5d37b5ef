use std::{pin::pin, time::Duration};

use sea_orm::{
    DbErr,
    sqlx::{self, Connection as _, PgConnection},
};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::postgres::{RELAY_LOCK, Server, failed};

/// The right to publish what other replicas have left in the outbox. Only one replica holds it at a time; dropping it
/// releases it.
///
/// On PostgreSQL it is a session-level advisory lock. The server releases it when the session ends: at once if the
/// holder crashes, and after some seconds if the holder is cut off from the network.
#[derive(Debug)]
pub struct RelayLock {
    lost: CancellationToken,
    _released: Option<DropGuard>,
}

/// How often the holder checks that its session is alive.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// Time limit of each query.
const QUERY_TIMEOUT: Duration = Duration::from_secs(5);

impl RelayLock {
    /// Returns a lock for a database that only one process uses.
    pub(super) fn sole() -> Self {
        Self { lost: CancellationToken::new(), _released: None }
    }

    /// Tries to take the lock; `None` if another replica holds it.
    pub(super) async fn take(server: &Server) -> Result<Option<Self>, DbErr> {
        let moved = server.hosts.moved();
        let mut session = server.hosts.session().await.map_err(failed)?;
        let lock = sqlx::query_scalar("SELECT pg_try_advisory_lock($1)").bind(RELAY_LOCK).fetch_one(&mut session);
        if !tokio::time::timeout(QUERY_TIMEOUT, lock).await.map_err(|_| no_answer())?.map_err(failed)? {
            let _ = session.close().await;
            return Ok(None);
        }
        let (lost, released) = (CancellationToken::new(), CancellationToken::new());
        tokio::spawn(hold(session, moved, lost.clone(), released.clone()));
        Ok(Some(Self { lost, _released: Some(released.drop_guard()) }))
    }

    /// Resolves when the lock is lost.
    pub async fn lost(&self) {
        self.lost.cancelled().await;
    }
}

/// Holds the lock until it is released, its session is lost, or another server is used (`moved`).
async fn hold(
    mut session: PgConnection,
    moved: impl Future<Output = ()>,
    lost: CancellationToken,
    released: CancellationToken,
) {
    let mut moved = pin!(moved);
    while released.run_until_cancelled(tokio::time::sleep(CHECK_INTERVAL)).await.is_some() {
        let alive = tokio::select! {
            alive = tokio::time::timeout(QUERY_TIMEOUT, session.ping()) => matches!(alive, Ok(Ok(()))),
            () = &mut moved => false,
        };
        if !alive {
            lost.cancel();
            break;
        }
    }
    let _ = tokio::time::timeout(QUERY_TIMEOUT, session.close()).await;
}

fn no_answer() -> DbErr {
    failed(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()))
}
