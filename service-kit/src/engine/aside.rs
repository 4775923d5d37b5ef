use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

use super::{Participant, batch::Batch};
use crate::retry::Pauses;

/// How many are tried again at a time, each by itself. Each may cost the engine [`SINGLE_LOCK_WAIT`](super::run).
const AT_ONCE: usize = 32;
/// How long rows may be locked before the service counts as not ready: far longer than any replica holds them.
const NOT_READY_AFTER: Duration = Duration::from_secs(5);

/// Inputs that need rows which another session has locked. They are not acknowledged, and wait here so that the others go on;
/// how many they may be is bounded by the broker's prefetch.
pub(super) struct Aside<P: Participant> {
    /// One input each.
    batches: VecDeque<Batch<P>>,
    since: Option<Instant>,
    next_try: Instant,
    pauses: Pauses,
}

impl<P: Participant> Aside<P> {
    pub(super) fn new() -> Self {
        let pauses = Pauses::growing(Duration::from_millis(50), Duration::from_secs(1));
        Self { batches: VecDeque::new(), since: None, next_try: Instant::now(), pauses }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.batches.len()
    }

    /// Puts a batch of one input aside.
    pub(super) fn put(&mut self, batch: Batch<P>) {
        if self.since.is_none() {
            self.since = Some(Instant::now());
            self.next_try = Instant::now() + self.pauses.next_pause();
        }
        self.batches.push_back(batch);
    }

    /// When those that wait are to be tried again, if there are any.
    pub(super) fn due(&self) -> Option<Instant> {
        (!self.is_empty()).then_some(self.next_try)
    }

    /// Takes out some that are to be tried now. What is still locked is to be [`put`](Self::put) back.
    pub(super) fn take(&mut self) -> Vec<Batch<P>> {
        self.batches.drain(..AT_ONCE.min(self.batches.len())).collect()
    }

    /// They were tried, and some of them `went_on` or none did.
    pub(super) fn tried(&mut self, went_on: bool) {
        if self.is_empty() {
            self.since = None;
        }
        if went_on {
            self.pauses.reset();
            self.next_try = Instant::now();
        } else {
            self.next_try = Instant::now() + self.pauses.next_pause();
        }
    }

    /// An error if rows have been locked for long.
    pub(super) fn state(&self) -> Result<(), String> {
        match self.since {
            Some(since) if since.elapsed() > NOT_READY_AFTER => {
                Err("another session keeps rows locked; what needs them waits (see pg_locks)".to_owned())
            }
            _ => Ok(()),
        }
    }
}
