use std::sync::{Arc, Mutex, PoisonError};

use futures::{StreamExt as _, stream};
use service_host::admin::{RedriveOutcome, RedriveView};
use shared_events::Timestamp;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::fetch;
use crate::{
    client::{ClientError, ServiceClient},
    times::now,
};

/// How many are redriven at the same time.
const AT_ONCE: usize = 8;
/// After so many in a row that could not be tried, a run ends: what is unavailable is needed for the others too.
const GIVE_UP_AFTER: u64 = 20;

/// The run that redrives many dead letters. There is one at a time; it goes on if the page is closed.
#[derive(Debug)]
pub(crate) struct Redrives {
    last: Mutex<Option<Arc<Run>>>,
    stopping: CancellationToken,
}

#[derive(Debug)]
struct Run {
    progress: Mutex<Progress>,
    stop: CancellationToken,
}

/// How far a run has come.
#[derive(Debug, Clone)]
pub(super) struct Progress {
    /// What is redriven, for a person to read.
    pub(super) what: String,
    /// When it began.
    pub(super) began: Timestamp,
    /// How many there are to redrive.
    pub(super) total: u64,
    /// How many are handled now.
    pub(super) handled: u64,
    /// How many failed again.
    pub(super) failed_again: u64,
    /// How many were no dead letters any more.
    pub(super) gone: u64,
    /// How many could not be tried.
    pub(super) not_tried: u64,
    not_tried_in_a_row: u64,
    /// Why the last one failed again.
    pub(super) reason: Option<String>,
    /// Why the last one could not be tried.
    pub(super) error: Option<String>,
    /// Whether it has ended.
    pub(super) ended: bool,
}

impl Redrives {
    /// Creates it without a run. A run ends when `stopping` is cancelled.
    pub(crate) fn new(stopping: CancellationToken) -> Self {
        Self { last: Mutex::default(), stopping }
    }

    /// Begins to redrive these messages. Returns false if a run is going on.
    pub(super) fn start(&self, client: &ServiceClient, what: String, ids: Vec<Uuid>) -> bool {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.as_ref().is_some_and(|run| !run.progress().ended) {
            return false;
        }
        let progress = Mutex::new(Progress::new(what, ids.len() as u64));
        let run = Arc::new(Run { progress, stop: self.stopping.child_token() });
        *last = Some(Arc::clone(&run));
        let client = client.clone();
        tokio::spawn(async move {
            let client = &client;
            let redrives = stream::iter(ids).map(|id| fetch::redrive(client, id)).buffer_unordered(AT_ONCE);
            let redrives = redrives.take_until(run.stop.cancelled());
            redrives.for_each(async |outcome| run.count(outcome)).await;
            run.with(|progress| progress.ended = true);
        });
        true
    }

    /// Stops the run that is going on. What has been sent already is still done by the service.
    pub(super) fn stop(&self) {
        if let Some(run) = &*self.last.lock().unwrap_or_else(PoisonError::into_inner) {
            run.stop.cancel();
        }
    }

    /// Returns how far the last run has come.
    pub(super) fn progress(&self) -> Option<Progress> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(|run| run.progress())
    }
}

impl Run {
    fn with<T>(&self, read: impl FnOnce(&mut Progress) -> T) -> T {
        read(&mut self.progress.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn progress(&self) -> Progress {
        self.with(|progress| progress.clone())
    }

    fn count(&self, outcome: Result<Option<RedriveView>, ClientError>) {
        if self.with(|progress| progress.count(outcome)) >= GIVE_UP_AFTER {
            self.stop.cancel();
        }
    }
}

impl Progress {
    fn new(what: String, total: u64) -> Self {
        Self {
            what,
            began: now(),
            total,
            handled: 0,
            failed_again: 0,
            gone: 0,
            not_tried: 0,
            not_tried_in_a_row: 0,
            reason: None,
            error: None,
            ended: false,
        }
    }

    /// Returns how many are done.
    pub(super) fn done(&self) -> u64 {
        self.handled + self.failed_again + self.gone + self.not_tried
    }

    /// Returns how many in a row could not be tried.
    fn count(&mut self, outcome: Result<Option<RedriveView>, ClientError>) -> u64 {
        self.not_tried_in_a_row = if outcome.is_err() { self.not_tried_in_a_row + 1 } else { 0 };
        match outcome {
            Ok(Some(RedriveView { outcome: RedriveOutcome::Handled, .. })) => self.handled += 1,
            Ok(Some(RedriveView { outcome: RedriveOutcome::FailedAgain, reason, .. })) => {
                self.failed_again += 1;
                self.reason = reason;
            }
            Ok(None) => self.gone += 1,
            Err(error) => {
                self.not_tried += 1;
                self.error = Some(format!("{error}. {}", error.remedy()));
            }
        }
        self.not_tried_in_a_row
    }
}
