use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

use super::{Engine, Participant, batch::Batch, pending::Origin};
use saga_support::Backoff;

/// How long a batch may wait for a lock while other inputs are put aside because of one. Otherwise, the limit is the
/// session's `lock_timeout`. Replicas lock each other's rows only for milliseconds.
pub(super) const BATCH_LOCK_WAIT: Duration = Duration::from_millis(50);
/// The same limit for a single input.
const SINGLE_LOCK_WAIT: Duration = Duration::from_millis(5);
/// After this many inputs of a batch in a row that could not get their locks, the rest of it is put aside without an
/// attempt, because a whole table is probably locked.
const MOST_LOCKED_OUT: u64 = 64;
const LOCKED: &str = "another session keeps locked what this needs";

/// How many inputs are retried at a time, each by itself. Each may cost the engine [`SINGLE_LOCK_WAIT`].
const AT_ONCE: usize = 32;
/// How long rows may be locked before the service is reported as not ready; far longer than any replica locks them.
const NOT_READY_AFTER: Duration = Duration::from_secs(5);

/// Inputs that were put aside because they need rows which another session has locked. They stay unacknowledged, and
/// wait here so that the other inputs can go on. The broker's prefetch limits their number.
pub(super) struct Aside<P: Participant> {
    /// Each batch has one input.
    batches: VecDeque<Batch<P>>,
    since: Option<Instant>,
    next_try: Instant,
    backoff: Backoff,
}

impl<P: Participant> Aside<P> {
    pub(super) fn new() -> Self {
        let backoff = Backoff::growing(Duration::from_millis(50), Duration::from_secs(1));
        Self { batches: VecDeque::new(), since: None, next_try: Instant::now(), backoff }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.batches.len()
    }

    /// Adds a batch of one input.
    pub(super) fn put(&mut self, batch: Batch<P>) {
        if self.since.is_none() {
            self.since = Some(Instant::now());
            self.next_try = Instant::now() + self.backoff.next_pause();
        }
        self.batches.push_back(batch);
    }

    /// Returns when the waiting inputs are to be retried, if there are any.
    pub(super) fn due(&self) -> Option<Instant> {
        (!self.is_empty()).then_some(self.next_try)
    }

    /// Removes some inputs for a retry. Those that are still locked out must be [`put`](Self::put) back.
    pub(super) fn take(&mut self) -> Vec<Batch<P>> {
        self.batches.drain(..AT_ONCE.min(self.batches.len())).collect()
    }

    /// Records a retry; `went_on` is whether any input got past the lock.
    pub(super) fn tried(&mut self, went_on: bool) {
        if self.is_empty() {
            self.since = None;
        }
        if went_on {
            self.backoff.reset();
            self.next_try = Instant::now();
        } else {
            self.next_try = Instant::now() + self.backoff.next_pause();
        }
    }

    /// Returns an error if rows have been locked for long.
    pub(super) fn state(&self) -> Result<(), String> {
        match self.since {
            Some(since) if since.elapsed() > NOT_READY_AFTER => {
                Err("another session keeps rows locked; what needs them waits (see pg_locks)".to_owned())
            }
            _ => Ok(()),
        }
    }
}

impl<P: Participant> Engine<P> {
    /// Handles a batch that needs rows which another session has locked. Its inputs are tried one at a time, so that
    /// only those wait which need these rows.
    pub(super) async fn locked(&mut self, batch: Batch<P>) {
        if batch.is_single() {
            return self.put_aside(batch);
        }
        tracing::debug!(
            inputs = batch.inputs.len(),
            "another session keeps rows locked; trying the inputs one at a time"
        );
        let mut in_a_row = 0;
        for single in batch.one_at_a_time() {
            if in_a_row >= MOST_LOCKED_OUT {
                self.put_aside(single);
                continue;
            }
            let before = self.locked_out;
            Box::pin(self.handle_within(Some(SINGLE_LOCK_WAIT), single)).await;
            in_a_row = if self.locked_out == before { 0 } else { in_a_row + 1 };
        }
    }

    /// Refuses callers, drops the service's own commands, which the clock repeats, and puts everything else aside until
    /// the rows are free.
    fn put_aside(&mut self, mut batch: Batch<P>) {
        self.locked_out += 1;
        batch.refuse_callers(LOCKED);
        batch.inputs.retain(|pending| !matches!(pending.origin, Origin::Itself));
        if !batch.is_empty() {
            if self.aside.is_empty() {
                tracing::warn!("another session keeps rows locked; what needs them waits, and the rest goes on");
            }
            self.aside.put(batch);
        }
        self.metrics.put_aside(self.aside.len());
    }

    /// Retries some of the inputs that were put aside.
    pub(super) async fn try_aside(&mut self) {
        let (batches, before) = (self.aside.take(), self.locked_out);
        let tried = batches.len() as u64;
        for batch in batches {
            self.handle_within(Some(SINGLE_LOCK_WAIT), batch).await;
        }
        self.aside.tried(self.locked_out - before < tried);
        self.metrics.put_aside(self.aside.len());
        if self.aside.is_empty() {
            tracing::info!("the locked rows are free again; no input waits for them");
            self.readiness.set("database", Ok(()));
        } else if let Err(locked) = self.aside.state() {
            self.readiness.set("database", Err(locked));
        }
    }
}
