//! Many requests to a service, made in the background while pages show how far they have come.

use std::sync::{Arc, Mutex, PoisonError};

use futures::{Stream, StreamExt as _};
use tokio_util::sync::CancellationToken;

/// After so many failures in a row, a run ends: what is unavailable is needed for the others too.
const GIVE_UP_AFTER: u64 = 20;

/// Counts what became of the requests of a run.
pub(crate) trait Tally: Clone + Send + 'static {
    /// What becomes of one request.
    type Outcome: Send;

    /// Counts one, and returns whether the service did what it was asked for.
    fn count(&mut self, outcome: Self::Outcome) -> bool;
}

/// The runs of one kind. There is one at a time; it goes on if the page is closed.
#[derive(Debug)]
pub(crate) struct Runs<T> {
    last: Mutex<Option<Arc<Run<T>>>>,
    stopping: CancellationToken,
}

#[derive(Debug)]
struct Run<T> {
    progress: Mutex<Progress<T>>,
    stop: CancellationToken,
}

/// How far a run has come.
#[derive(Debug, Clone)]
pub(crate) struct Progress<T> {
    /// What became of the requests up to now.
    pub(crate) tally: T,
    failed_in_a_row: u64,
    /// Whether it has ended.
    pub(crate) ended: bool,
}

impl<T: Tally> Runs<T> {
    /// Creates it without a run. A run ends when `stopping` is cancelled.
    pub(crate) fn new(stopping: CancellationToken) -> Self {
        Self { last: Mutex::default(), stopping }
    }

    /// Begins to make these requests, as fast as the stream lets it. Returns false if a run is going on.
    pub(crate) fn start(&self, tally: T, requests: impl Stream<Item = T::Outcome> + Send + 'static) -> bool {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.as_ref().is_some_and(|run| !run.with(|progress| progress.ended)) {
            return false;
        }
        let progress = Mutex::new(Progress { tally, failed_in_a_row: 0, ended: false });
        let run = Arc::new(Run { progress, stop: self.stopping.child_token() });
        *last = Some(Arc::clone(&run));
        tokio::spawn(async move {
            let outcomes = requests.take_until(run.stop.cancelled());
            outcomes.for_each(async |outcome| run.count(outcome)).await;
            run.with(|progress| progress.ended = true);
        });
        true
    }

    /// Stops the run that is going on. What has been sent already is still done by the service.
    pub(crate) fn stop(&self) {
        if let Some(run) = &*self.last.lock().unwrap_or_else(PoisonError::into_inner) {
            run.stop.cancel();
        }
    }

    /// Returns how far the last run has come.
    pub(crate) fn progress(&self) -> Option<Progress<T>> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.as_ref().map(|run| run.with(|progress| progress.clone()))
    }
}

impl<T: Tally> Run<T> {
    fn with<R>(&self, read: impl FnOnce(&mut Progress<T>) -> R) -> R {
        read(&mut self.progress.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn count(&self, outcome: T::Outcome) {
        let failed_in_a_row = self.with(|progress| {
            let succeeded = progress.tally.count(outcome);
            progress.failed_in_a_row = if succeeded { 0 } else { progress.failed_in_a_row + 1 };
            progress.failed_in_a_row
        });
        if failed_in_a_row >= GIVE_UP_AFTER {
            self.stop.cancel();
        }
    }
}
