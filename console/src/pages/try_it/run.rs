use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
};

use futures::{StreamExt as _, stream};
use tokio_util::sync::CancellationToken;

use super::place::{NewOrder, place};
use crate::client::{ClientError, ServiceClient};

/// After so many requests in a row without success, a run ends.
const GIVE_UP_AFTER: u64 = 20;

/// The run that places many orders. There is one at a time.
#[derive(Debug)]
pub(crate) struct Runs {
    last: Mutex<Option<Arc<Run>>>,
    stopping: CancellationToken,
}

/// A run, going on or ended.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) total: u64,
    placed: AtomicU64,
    refused: AtomicU64,
    failed_in_a_row: AtomicU64,
    ended: AtomicBool,
    /// The last failure, in words.
    error: Mutex<Option<String>>,
    stop: CancellationToken,
}

/// How far a run has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Progress {
    pub(super) total: u64,
    pub(super) placed: u64,
    pub(super) refused: u64,
    pub(super) ended: bool,
    pub(super) error: Option<String>,
}

impl Runs {
    /// Creates it without a run. A run ends when `stopping` is cancelled.
    pub(crate) fn new(stopping: CancellationToken) -> Self {
        Self { last: Mutex::default(), stopping }
    }

    /// Begins to place `total` orders, `at_once` at the same time. Returns false if a run is going on.
    pub(super) fn start(
        &self,
        order: &ServiceClient,
        total: u64,
        at_once: usize,
        make: impl Fn(u64) -> NewOrder + Send + 'static,
    ) -> bool {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.as_ref().is_some_and(|run| !run.ended.load(Relaxed)) {
            return false;
        }
        let run = Arc::new(Run {
            total,
            placed: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            failed_in_a_row: AtomicU64::new(0),
            ended: AtomicBool::new(false),
            error: Mutex::default(),
            stop: self.stopping.child_token(),
        });
        *last = Some(Arc::clone(&run));
        let order = order.clone();
        tokio::spawn(async move {
            let requests = stream::iter(0..total).map(make).map(|new| run.place(&order, new)).buffer_unordered(at_once);
            requests.take_until(run.stop.cancelled()).for_each(async |()| {}).await;
            run.ended.store(true, Relaxed);
        });
        true
    }

    /// Stops the run that is going on.
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
    async fn place(&self, order: &ServiceClient, new: NewOrder) {
        match place(order, &new).await {
            Ok(_) => {
                self.placed.fetch_add(1, Relaxed);
                self.failed_in_a_row.store(0, Relaxed);
            }
            Err(error) => self.failed(&error),
        }
    }

    fn failed(&self, error: &ClientError) {
        self.refused.fetch_add(1, Relaxed);
        *self.error.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.to_string());
        if self.failed_in_a_row.fetch_add(1, Relaxed) + 1 >= GIVE_UP_AFTER {
            self.stop.cancel();
        }
    }

    fn progress(&self) -> Progress {
        Progress {
            total: self.total,
            placed: self.placed.load(Relaxed),
            refused: self.refused.load(Relaxed),
            ended: self.ended.load(Relaxed),
            error: self.error.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }
}
