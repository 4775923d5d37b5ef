use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// How many batches a loop may be ahead of the slowest one.
const AHEAD: u64 = 8;

/// Keeps loops in lockstep: all process the same number of batches, and fast ones wait for the slowest.
#[derive(Debug)]
pub(super) struct Gate {
    /// Number of batches that each loop has completed.
    done: Mutex<Vec<u64>>,
    moved: Notify,
    over: CancellationToken,
}

impl Gate {
    /// Creates a gate for this number of loops.
    pub(super) fn new(loops: usize) -> Self {
        Self { done: Mutex::new(vec![0; loops]), moved: Notify::new(), over: CancellationToken::new() }
    }

    /// Waits until the batch with this number (from 0) may begin. Returns `false` if no more batches may begin.
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

    /// Records that the loop with this index has completed another batch.
    pub(super) fn done(&self, index: usize) {
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        let before = slowest(&done);
        done[index] += 1;
        if slowest(&done) > before {
            self.moved.notify_waiters();
        }
    }

    /// Returns the number of batches that the slowest loop has completed.
    pub(super) fn slowest(&self) -> u64 {
        slowest(&self.done.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Stops all loops before their next batch.
    pub(super) fn close(&self) {
        self.over.cancel();
    }

    /// Resolves when the gate is closed.
    pub(super) async fn closed(&self) {
        self.over.cancelled().await;
    }
}

fn slowest(done: &[u64]) -> u64 {
    done.iter().copied().min().unwrap_or_default()
}
