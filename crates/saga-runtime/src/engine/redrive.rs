//! Dead letters that an operator redrives or discards.

use std::collections::HashSet;

use tokio::sync::{OwnedSemaphorePermit, oneshot};
use uuid::Uuid;

use super::Refusal;

/// The result of redriving a dead letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Redriven {
    /// The message is handled, now or by an earlier delivery, and is no longer a dead letter.
    Handled,
    /// It cannot be handled. It stays a dead letter, with one more attempt and this reason.
    FailedAgain {
        /// Why it cannot be handled, as text.
        reason: String,
    },
    /// It is no longer a dead letter: it was redriven or discarded at the same time.
    Gone,
}

/// A dead letter that is being redriven, and the channel for the answer.
#[derive(Debug)]
pub(super) struct Redrive {
    /// The id of the dead letter. It may differ from the message's id, if the body could not be decoded before and can
    /// be now.
    pub(super) message_id: Uuid,
    answer: oneshot::Sender<Result<Redriven, Refusal>>,
    _permit: OwnedSemaphorePermit,
}

/// A dead letter that stays one, and why.
#[derive(Debug)]
pub(super) struct DeadLetterAgain {
    pub(super) redrive: Redrive,
    pub(super) reason: String,
}

/// A dead letter to be deleted.
#[derive(Debug)]
pub(super) struct Discard {
    pub(super) message_id: Uuid,
    answer: oneshot::Sender<Result<bool, Refusal>>,
    _permit: OwnedSemaphorePermit,
}

type Answer<T> = oneshot::Receiver<Result<T, Refusal>>;

impl Redrive {
    pub(super) fn new(message_id: Uuid, permit: OwnedSemaphorePermit) -> (Self, Answer<Redriven>) {
        let (answer, receiver) = oneshot::channel();
        (Self { message_id, answer, _permit: permit }, receiver)
    }

    pub(super) fn answer(self, answer: Result<Redriven, Refusal>) {
        // If the operator no longer waits, the result is stored all the same.
        let _ = self.answer.send(answer);
    }

    /// Answers after the commit: the message was handled, unless its dead letter is missing in `taken`.
    pub(super) fn complete(self, taken: &HashSet<Uuid>) {
        if !taken.contains(&self.message_id) {
            return self.answer(Ok(Redriven::Gone));
        }
        tracing::info!(message.id = %self.message_id, "a dead letter was redriven and is handled");
        self.answer(Ok(Redriven::Handled));
    }
}

impl DeadLetterAgain {
    /// Answers after the commit; `is_there` is whether the dead letter still exists.
    pub(super) fn complete(self, is_there: bool) {
        let Self { redrive, reason } = self;
        if !is_there {
            return redrive.answer(Ok(Redriven::Gone));
        }
        tracing::warn!(
            message.id = %redrive.message_id, reason,
            "a dead letter was redriven and still cannot be handled"
        );
        redrive.answer(Ok(Redriven::FailedAgain { reason }));
    }
}

impl Discard {
    pub(super) fn new(message_id: Uuid, permit: OwnedSemaphorePermit) -> (Self, Answer<bool>) {
        let (answer, receiver) = oneshot::channel();
        (Self { message_id, answer, _permit: permit }, receiver)
    }

    pub(super) fn answer(self, was_there: Result<bool, Refusal>) {
        if was_there == Ok(true) {
            tracing::info!(message.id = %self.message_id, "a dead letter was discarded");
        }
        let _ = self.answer.send(was_there);
    }
}
