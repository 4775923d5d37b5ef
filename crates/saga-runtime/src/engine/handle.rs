//! Commits a batch, however often that takes, and answers those who wait for it.

use std::{
    pin::pin,
    time::{Duration, SystemTime},
};

use saga_database::Fault;
use saga_support::Backoff;
use tokio::time::Instant;

use super::{
    Participant, Refusal,
    aside::BATCH_LOCK_WAIT,
    batch::Batch,
    pending::{Origin, Pending},
    run::Engine,
    transaction::{Committed, Failure, Limits, commit_catching},
};
use crate::trace::OpenSpan;

/// How often a batch is repeated at once because another transaction was in its way.
const MAX_CONFLICTS: u32 = 10;

const UNAVAILABLE: &str = "the database is unavailable";

impl<P: Participant> Engine<P> {
    /// Handles a batch, and returns when it is committed and answered, or put aside.
    pub(super) async fn handle(&mut self, batch: Batch<P>) {
        let lock_wait = (!self.aside.is_empty()).then_some(BATCH_LOCK_WAIT);
        self.handle_within(lock_wait, batch).await;
    }

    /// Handles a batch, and waits for locks no longer than `lock_wait`, or by default the session's own limit.
    pub(super) async fn handle_within(&mut self, lock_wait: Option<Duration>, mut batch: Batch<P>) {
        let mut backoff = Backoff::growing(Duration::from_millis(50), Duration::from_secs(5));
        let mut conflicts = 0;
        while !batch.is_empty() {
            let (begun, begun_at) = (Instant::now(), SystemTime::now());
            let error = match self.commit_or_report(&batch, lock_wait).await {
                Ok(committed) => {
                    let received = batch.inputs.iter().map(|pending| (pending.origin.kind(), pending.inputs.len()));
                    self.metrics.committed(received, committed.dead_lettered, begun.elapsed());
                    self.readiness.set("database", self.aside.state());
                    let inputs = || batch.inputs.iter().flat_map(|pending| &pending.inputs);
                    let events = || inputs().filter(|input| input.payload.message().is_some()).count();
                    self.spans.commit(
                        begun_at,
                        events,
                        inputs().filter_map(|input| input.cause.traceparent.as_deref()),
                    );
                    return self.complete(batch, committed);
                }
                Err(failure) if !batch.check_inbox_first && failure.is_permanent() => {
                    tracing::debug!(error = %failure, "trying again, and checking the inbox first");
                    batch.check_inbox_first = true;
                    continue;
                }
                Err(Failure::Foreign { own }) => {
                    batch.give_back_foreign(own, &self.identity);
                    continue;
                }
                Err(Failure::Unacceptable { index, position, reason }) => {
                    batch.dead_letter_input(index, position, &reason);
                    continue;
                }
                Err(Failure::Database(error)) => error,
            };
            match Fault::of(&error) {
                Fault::Conflict | Fault::UniqueViolation if conflicts < MAX_CONFLICTS => {
                    conflicts += 1;
                    tracing::debug!(%error, conflicts, "another transaction was in the way; trying again");
                }
                Fault::LockTimeout => return self.locked(batch).await,
                Fault::UniqueViolation | Fault::Permanent if batch.inputs.len() > 1 => {
                    let inputs = batch.inputs.len();
                    tracing::warn!(%error, inputs, "a batch failed; its messages and commands are tried one at a time");
                    for single in batch.one_at_a_time() {
                        Box::pin(self.handle(single)).await;
                    }
                    return;
                }
                Fault::UniqueViolation | Fault::Permanent if batch.inputs.len() == 1 && batch.has_inputs() => {
                    // If the search fails for another reason, the batch is simply tried again.
                    if let Some(culprit) = self.culprit(&batch, lock_wait).await {
                        batch.dead_letter_input(0, culprit, &error.to_string());
                    }
                }
                _ => {
                    tracing::warn!(%error, "the database cannot commit a batch; trying again after a pause");
                    self.readiness.set("database", Err("it is unreachable, or cannot be written".to_owned()));
                    batch.refuse_callers(UNAVAILABLE);
                    if !self.wait_before_retry(backoff.next_pause()).await {
                        // The dropped batch was not committed: the broker delivers it again, and the relay publishes it
                        // again.
                        return;
                    }
                }
            }
        }
    }

    /// Makes an attempt with the first `inputs` of a batch, which is rolled back.
    async fn attempt(
        &self,
        batch: &Batch<P>,
        lock_wait: Option<Duration>,
        inputs: usize,
    ) -> Result<Committed<P>, Failure> {
        let limits = Limits { max_events: self.settings.max_events, lock_wait, attempt: Some(inputs) };
        commit_catching(&*self.participant, &self.database, &self.identity, &self.spans, batch, limits).await
    }

    /// Returns the position of the first event without which the only message of a batch could be committed as far as
    /// it. It is found by attempts with the first half of the events, and so on, which are rolled back.
    /// Returns `None` if an attempt fails for a reason that may pass.
    async fn culprit(&self, batch: &Batch<P>, lock_wait: Option<Duration>) -> Option<usize> {
        let (mut good, mut bad) = (0, batch.inputs[0].inputs.len());
        while bad - good > 1 {
            let middle = usize::midpoint(good, bad);
            match self.attempt(batch, lock_wait, middle).await {
                Ok(_) => good = middle,
                Err(failure) if failure.is_permanent() => bad = middle,
                Err(_) => return None,
            }
        }
        Some(good)
    }

    /// Waits, and returns whether to go on. Callers are refused at once meanwhile; everything else can wait.
    async fn wait_before_retry(&mut self, pause: Duration) -> bool {
        let mut pause = pin!(tokio::time::sleep(pause));
        loop {
            tokio::select! {
                () = self.stop.work.cancelled() => return false,
                () = &mut pause => return true,
                Some(item) = self.items.recv() => self.postponed.extend(item.refuse_caller(UNAVAILABLE)),
            }
        }
    }

    fn complete(&self, mut batch: Batch<P>, committed: Committed<P>) {
        end_spans(&mut batch, committed.created, &committed.handled);
        if let Some(id) = committed.system_id {
            self.identity.adopted(id);
        }
        self.metrics.to_be_published(&committed.outgoing);
        self.outbox.committed(committed.outgoing, committed.deleted);
        for forgotten in batch.forgotten {
            let _ = forgotten.send(());
        }
        if let Some(state) = committed.state {
            self.participant.on_committed(state);
        }
        for command in committed.follow_ups {
            self.mailbox.tell(command);
        }
        let dead_lettered_again = batch.dead_lettered_again.into_iter().zip(committed.still_there);
        dead_lettered_again.for_each(|(again, is_there)| again.complete(is_there));
        for discard in batch.discarded {
            let was_there = committed.taken.contains(&discard.message_id);
            discard.answer(Ok(was_there));
        }
        for (Pending { inputs, origin, .. }, reply) in batch.inputs.into_iter().zip(committed.replies) {
            match origin {
                Origin::Caller { refuse, .. } => match reply {
                    Some(reply) => reply.send(),
                    None => {
                        tracing::error!(command = ?inputs, "a command was decided without a reply");
                        let _ = refuse.send(Refusal::Internal);
                    }
                },
                Origin::Queue { receipt, .. } => {
                    if receipt.acknowledge() {
                        self.metrics.message_committed();
                    }
                }
                Origin::DeadLetter { redrive, .. } => redrive.complete(&committed.taken),
                Origin::Itself => {}
            }
        }
    }
}

/// Ends the spans of what was committed: of the published events, and of the handled ones.
fn end_spans<P: Participant>(batch: &mut Batch<P>, created: Vec<OpenSpan>, handled: &[usize]) {
    created.into_iter().for_each(OpenSpan::end);
    for (index, pending) in batch.inputs.iter_mut().enumerate() {
        let spans = pending.inputs.iter_mut().filter_map(|input| input.span.take());
        let end = if handled.contains(&index) { OpenSpan::end } else { OpenSpan::end_as_duplicate };
        spans.for_each(end);
    }
}
