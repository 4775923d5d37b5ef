//! DeadLettered messages that an operator has driven through the engine once more, or thrown away.

use std::collections::HashSet;

use tokio::sync::{OwnedSemaphorePermit, oneshot};
use uuid::Uuid;

use super::Refusal;

/// What became of a parked message that was driven through the engine once more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Redriven {
    /// It is handled, now or by an earlier delivery, and parked no longer.
    Handled,
    /// It cannot be handled: it stays dead_lettered, with one attempt more and this reason.
    ParkedAgain {
        /// Why, in words.
        reason: String,
    },
    /// It is not dead_lettered: somebody else has driven or discarded it.
    Gone,
}

/// A parked message on its way through the engine, and who waits for it.
#[derive(Debug)]
pub(super) struct Redrive {
    /// Under which id it is dead_lettered. A body that could not be read then may have another one now.
    pub(super) message_id: Uuid,
    answer: oneshot::Sender<Result<Redriven, Refusal>>,
    _permit: OwnedSemaphorePermit,
}

/// A parked message that stays so, and why.
#[derive(Debug)]
pub(super) struct DeadLetterAgain {
    pub(super) redrive: Redrive,
    pub(super) reason: String,
}

/// A parked message that is to be forgotten.
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
        // Who no longer waits finds the message handled or parked all the same.
        let _ = self.answer.send(answer);
    }

    /// The transaction is committed: it was handled, unless it was not among those that were `taken` out.
    pub(super) fn tell_handled(self, taken: &HashSet<Uuid>) {
        if !taken.contains(&self.message_id) {
            return self.answer(Ok(Redriven::Gone));
        }
        tracing::info!(message.id = %self.message_id, "a parked message was driven again, and is handled");
        self.answer(Ok(Redriven::Handled));
    }
}

impl DeadLetterAgain {
    /// The transaction is committed, and found the message there or not.
    pub(super) fn tell(self, is_there: bool) {
        let Self { redrive, reason } = self;
        if !is_there {
            return redrive.answer(Ok(Redriven::Gone));
        }
        tracing::warn!(message.id = %redrive.message_id, reason, "a parked message was driven again, and is parked again");
        redrive.answer(Ok(Redriven::ParkedAgain { reason }));
    }
}

impl Discard {
    pub(super) fn new(message_id: Uuid, permit: OwnedSemaphorePermit) -> (Self, Answer<bool>) {
        let (answer, receiver) = oneshot::channel();
        (Self { message_id, answer, _permit: permit }, receiver)
    }

    pub(super) fn answer(self, was_there: Result<bool, Refusal>) {
        if was_there == Ok(true) {
            tracing::info!(message.id = %self.message_id, "a parked message was discarded");
        }
        let _ = self.answer.send(was_there);
    }
}
