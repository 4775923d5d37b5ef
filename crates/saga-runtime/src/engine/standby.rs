//! A commit that waits for a synchronous standby, because the standby is away.

use std::{pin::pin, time::Duration};

use sea_orm::{DbErr, RuntimeErr};

use super::{
    Engine, Participant,
    batch::Batch,
    transaction::{Committed, Failure, Limits, commit_catching},
};

/// Shown in public health checks and to refused callers.
const COMMITS_WAIT: &str = "its commits wait for a synchronous standby that is away";

impl<P: Participant> Engine<P> {
    /// Commits `batch`. While the commit waits for a synchronous standby, the service is not ready, and further callers
    /// are refused at once; those of the batch wait, because their changes are durable on the primary already.
    pub(super) async fn commit_or_report(
        &mut self,
        batch: &Batch<P>,
        lock_wait: Option<Duration>,
    ) -> Result<Committed<P>, Failure> {
        let limits = Limits { max_events: self.settings.max_events, lock_wait, attempt: None };
        let mut commits_wait = self.database.commits_wait();
        let mut commit =
            pin!(commit_catching(&*self.participant, &self.database, &self.identity, &self.spans, batch, limits));
        tokio::select! {
            biased;
            done = &mut commit => return done,
            Ok(_) = async { commits_wait.wait_for(|wait| *wait).await.map(|_| ()) } => {}
        }
        self.readiness.set("database", Err(COMMITS_WAIT.to_owned()));
        loop {
            tokio::select! {
                biased;
                done = &mut commit => return done,
                () = self.stop.work.cancelled() => {
                    let stopped = RuntimeErr::Internal("stopped during a commit".to_owned());
                    return Err(DbErr::Conn(stopped).into());
                }
                Some(item) = self.items.recv() => self.postponed.extend(item.refuse_caller(COMMITS_WAIT)),
            }
        }
    }
}
