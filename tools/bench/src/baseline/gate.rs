use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// How many batches a loop may be ahead of the slowest.
const AHEAD: u64 = 8;

/// Keeps loops in lockstep: all do the same number of batches, and a fast one waits for the slowest.
#[derive(Debug)]
pub(super) struct Gate {
    /// How many batches each loop has done.
    done: Mutex<Vec<u64>>,
    moved: Notify,
    over: CancellationToken,
}

impl Gate {
    /// A gate for so many loops.
    pub(super) fn new(loops: usize) -> Self {
        Self { done: Mutex::new(vec![0; loops]), moved: Notify::new(), over: CancellationToken::new() }
    }

    /// Waits until the batch of this number, from 0, may begin. `false`: no more batches are to begin.
    pub(super) async fn enter(&self, batch: u64) -> bool {
        loop {
            let mut moved = std::pin::pin!(self.moved.notified());
            moved.as_mut().enable();
            if self.over.is_cancelled() || batch < self.slowest() + AHEAD {
                return !self.over.is_cancelled();
            }
            tokio::select! {
                () = moved => {}
                () = self.over.cancelled() => return false,
            }
        }
    }

    /// The loop of this index has done one batch more.
    pub(super) fn done(&self, index: usize) {
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        let before = slowest(&done);
        done[index] += 1;
        if slowest(&done) > before {
            self.moved.notify_waiters();
        }
    }

    /// How many batches the slowest loop has done.
    pub(super) fn slowest(&self) -> u64 {
        slowest(&self.done.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// No more batches are to begin.
    pub(super) fn close(&self) {
        self.over.cancel();
    }

    /// Resolves when no more batches are to begin.
    pub(super) async fn closed(&self) {
        self.over.cancelled().await;
    }
}

fn slowest(done: &[u64]) -> u64 {
    done.iter().copied().min().unwrap_or_default()
}
