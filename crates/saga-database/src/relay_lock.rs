use std::time::Duration;

use sea_orm::{
    DbErr,
    sqlx::{self, Connection as _, PgConnection},
};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::postgres::{RELAY_LOCK, Server, failed};

/// The right to relay a database's outbox. One replica has it at a time; dropped, it is free for the next.
///
/// On PostgreSQL it is an advisory lock, which the server frees when the session ends: at once where the holder dies, and
/// after some seconds where it is cut off.
#[derive(Debug)]
pub struct RelayLock {
    lost: CancellationToken,
    _released: Option<DropGuard>,
}

/// How often the holder looks whether its session lives, and how long the answer may take.
const LOOK: Duration = Duration::from_secs(1);
const ANSWER: Duration = Duration::from_secs(5);

impl RelayLock {
    /// Where there is one process.
    pub(super) fn sole() -> Self {
        Self { lost: CancellationToken::new(), _released: None }
    }

    /// `None`: another replica has it.
    pub(super) async fn take(server: &Server) -> Result<Option<Self>, DbErr> {
        let mut session = server.session().await.map_err(failed)?;
        let lock = sqlx::query_scalar("SELECT pg_try_advisory_lock($1)").bind(RELAY_LOCK).fetch_one(&mut session);
        if !tokio::time::timeout(ANSWER, lock).await.map_err(|_| no_answer())?.map_err(failed)? {
            let _ = session.close().await;
            return Ok(None);
        }
        let (lost, released) = (CancellationToken::new(), CancellationToken::new());
        tokio::spawn(hold(session, lost.clone(), released.clone()));
        Ok(Some(Self { lost, _released: Some(released.drop_guard()) }))
    }

    /// Resolves when it is lost.
    pub async fn lost(&self) {
        self.lost.cancelled().await;
    }
}

async fn hold(mut session: PgConnection, lost: CancellationToken, released: CancellationToken) {
    while released.run_until_cancelled(tokio::time::sleep(LOOK)).await.is_some() {
        if !matches!(tokio::time::timeout(ANSWER, session.ping()).await, Ok(Ok(()))) {
            lost.cancel();
            return;
        }
    }
    let _ = tokio::time::timeout(ANSWER, session.close()).await;
}

fn no_answer() -> DbErr {
    failed(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()))
}
