use std::{fmt, sync::Arc, time::Duration};

use saga_database::{Clock, tables};
use saga_message::{Message, MessageId, SystemId, Timestamp, framing};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use uuid::Uuid;

use super::{
    Input, Participant, Payload,
    batch::Item,
    dead_letter::{dead_letter, still_unreadable},
    pending::{Origin, Pending, Raw, SharedReceipt},
    redrive::{DeadLetterAgain, Discard, Redrive, Redriven},
    reply::ReplyTo,
};
use crate::{
    broker::{Delivery, Receipt},
    identity::{Ownership, SystemIdentity},
};

/// The entrance to the engine; cheap to clone.
#[derive(Debug)]
pub struct Mailbox<P: Participant> {
    items: mpsc::UnboundedSender<Item<P>>,
    /// One permit for each command that waits or is being handled. (Deliveries are limited by the broker's prefetch.)
    permits: Arc<Semaphore>,
    identity: Arc<SystemIdentity>,
    /// The source of the inputs' timestamps.
    pub(super) clock: Clock,
}

impl<P: Participant> Clone for Mailbox<P> {
    fn clone(&self) -> Self {
        Self {
            items: self.items.clone(),
            permits: Arc::clone(&self.permits),
            identity: Arc::clone(&self.identity),
            clock: self.clock.clone(),
        }
    }
}

/// What caused an input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// The id of the message or the request.
    pub id: Uuid,
    /// The trace that it belongs to (W3C Trace Context), if there is one.
    pub traceparent: Option<String>,
}

impl Cause {
    /// Returns a new cause, for a request without a trace or for the clock.
    #[must_use]
    pub fn new() -> Self {
        Self { id: Uuid::now_v7(), traceparent: None }
    }
}

impl Default for Cause {
    fn default() -> Self {
        Self::new()
    }
}

/// Why a command was not carried out. Nothing was committed, unless the database became unavailable during the commit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The limit of waiting commands is reached. Nothing was written.
    #[error("overloaded")]
    Overloaded,
    /// Something that the command needs is unavailable.
    #[error("{0}")]
    Unavailable(String),
    /// The command failed; the reason is in the log.
    #[error("internal error")]
    Internal,
}

impl<P: Participant> Mailbox<P> {
    pub(super) fn new(
        capacity: usize,
        identity: Arc<SystemIdentity>,
        clock: Clock,
    ) -> (Self, mpsc::UnboundedReceiver<Item<P>>) {
        let (items, receiver) = mpsc::unbounded_channel();
        (Self { items, permits: Arc::new(Semaphore::new(capacity)), identity, clock }, receiver)
    }

    /// Carries out a command, and returns its reply once it is committed. `command` builds the command around the
    /// address for the reply, for example `|reply_to| Command::Cancel(id, reply_to)`.
    ///
    /// # Errors
    /// If the command was not carried out: too many commands wait, something that it needs is unavailable, or it
    /// failed. See [`Refusal`].
    pub async fn ask<T: Send + 'static>(
        &self,
        command: impl FnOnce(ReplyTo<T>) -> P::Command,
        cause: Cause,
    ) -> Result<T, Refusal> {
        if let Some(why) = self.identity.refusal() {
            return Err(Refusal::Unavailable(why.to_owned()));
        }
        let permit = self.permit()?;
        let (reply_to, reply) = ReplyTo::new();
        let (refuse, refused) = oneshot::channel();
        self.put(Payload::Command(command(reply_to)), cause, Origin::Caller { refuse, _permit: permit })
            .map_err(|()| stopping())?;
        match refused.await {
            Ok(refusal) => Err(refusal),
            // Not refused: the reply was sent, or the engine has ended and dropped both.
            Err(_) => reply.await.map_err(|_| stopping()),
        }
    }

    /// Handles a dead letter as if the broker had just delivered it, and returns once the result is committed. It is
    /// safe to repeat, and safe on two replicas at the same time: the message is handled once.
    ///
    /// # Errors
    /// If too many commands wait, or something that it needs is unavailable. The dead letter stays as it was.
    pub async fn redrive(&self, letter: &tables::dead_letter::Model) -> Result<Redriven, Refusal> {
        let (redrive, answer) = Redrive::new(letter.message_id, self.permit()?);
        let raw = Arc::new(Raw {
            body: Arc::from(&*letter.body),
            message_id: None,
            redeliveries: 0,
            received_at: Timestamp::from_unix_micros(letter.dead_lettered_at),
        });
        let events = Events::<P::Message>::read(&letter.body);
        let item = match (self.identity.ownership(events.system_id), events.error()) {
            (_, Some(error)) => {
                Item::DeadLetterAgain(DeadLetterAgain { redrive, reason: still_unreadable(&error, &letter.reason) })
            }
            (Ownership::Foreign(reason) | Ownership::DeadLetter(reason), None) => {
                Item::DeadLetterAgain(DeadLetterAgain { redrive, reason })
            }
            (Ownership::Ours, None) => {
                let (inputs, dead_lettered, batch_id) = self.sort(events, &raw, None);
                Item::Input(Pending { inputs, dead_lettered, origin: Origin::DeadLetter { redrive, raw, batch_id } })
            }
        };
        self.items.send(item).map_err(|_| stopping())?;
        answer.await.map_err(|_| stopping())?
    }

    /// Deletes a dead letter. Once that is committed, returns whether the dead letter existed.
    ///
    /// # Errors
    /// If too many commands wait, or the database is unavailable. Then it was not deleted, unless the database became
    /// unavailable during the commit.
    pub async fn discard(&self, message_id: Uuid) -> Result<bool, Refusal> {
        let (discard, answer) = Discard::new(message_id, self.permit()?);
        self.items.send(Item::Discard(discard)).map_err(|_| stopping())?;
        answer.await.map_err(|_| stopping())?
    }

    /// Sends a command of the service's own, without waiting for it. It may be lost in a crash.
    pub fn tell(&self, command: P::Command) {
        // If the engine has ended, the command is dropped.
        let _ = self.put(Payload::Command(command), Cause::new(), Origin::Itself);
    }

    /// Puts an input back after its external call has returned.
    pub(super) fn put_back(&self, pending: Pending<P>) {
        let _ = self.items.send(Item::Input(pending));
    }

    /// Takes a permit for one more waiting command.
    fn permit(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        Arc::clone(&self.permits).try_acquire_owned().map_err(|_| Refusal::Overloaded)
    }

    fn put(&self, payload: Payload<P>, cause: Cause, origin: Origin) -> Result<(), ()> {
        let input = Input::new(self.clock.now(), cause, payload);
        self.items.send(Item::Input(Pending::command(input, origin))).map_err(|_| ())
    }

    fn event(&self, message: P::Message) -> Input<P> {
        let header = message.header();
        let cause = Cause { id: header.id.0, traceparent: header.traceparent.clone() };
        Input::new(self.clock.now(), cause, Payload::Event(Box::new(message)))
    }

    /// Returns the inputs of a message and its dead letters: the events that cannot be decoded or, if there is a
    /// `reason` to dead-letter the message, all of them.
    fn sort(
        &self,
        events: Events<'_, P::Message>,
        raw: &Raw,
        reason: Option<&str>,
    ) -> (Vec<Input<P>>, Vec<tables::dead_letter::Model>, Option<MessageId>) {
        let (mut inputs, mut dead_lettered) = (Vec::with_capacity(events.all.len()), Vec::new());
        for (body, event) in events.all {
            match (event, reason) {
                (Ok(message), None) => inputs.push(self.event(message)),
                (Ok(message), Some(reason)) => dead_lettered.push(dead_letter(raw, body, Some(&message), reason)),
                (Err(error), reason) => {
                    dead_lettered.push(dead_letter::<P::Message>(raw, body, None, reason.unwrap_or(&error)));
                }
            }
        }
        (inputs, dead_lettered, events.batch_id)
    }
}

/// The events of a message.
struct Events<'a, M> {
    /// Each event as it is in the body, and decoded. If the body cannot be taken apart, it is the only one.
    all: Vec<(&'a [u8], Result<M, String>)>,
    /// The id of the message, if it is in the form for several events and at least one can be decoded.
    batch_id: Option<MessageId>,
    /// The system that they belong to, as far as one of them tells.
    system_id: Option<SystemId>,
}

impl<'a, M: Message> Events<'a, M> {
    fn read(body: &'a [u8]) -> Self {
        let all: Vec<_> = match framing::split(body) {
            Ok(events) => {
                let decoded = |event| M::decode(event).map_err(|error: M::DecodeError| error.to_string());
                events.into_iter().map(|event| (event, decoded(event))).collect()
            }
            Err(error) => vec![(body, Err(error.to_string()))],
        };
        let is_batch = framing::is_batch(body) && all.iter().any(|(_, event)| event.is_ok());
        let batch_id = is_batch.then(|| framing::batch_id(body, all[0].0));
        let system_id = all.iter().find_map(|(body, event)| match event {
            Ok(message) => message.header().system_id,
            Err(_) => M::system_of(body),
        });
        Self { all, batch_id, system_id }
    }

    /// Returns why none of them can be decoded.
    fn error(&self) -> Option<String> {
        let (_, first) = self.all.first()?;
        if self.all.iter().any(|(_, event)| event.is_ok()) { None } else { first.as_ref().err().cloned() }
    }
}

/// What the relay and the consumers need of a mailbox. It does not depend on the participant, so they are compiled once
/// and not again for each service.
pub(crate) trait Intake: Send + Sync + fmt::Debug + 'static {
    /// Puts a delivery into the mailbox. What the broker itself has dead-lettered is stored as a dead letter without
    /// being handled, because it may be what crashed its consumers. A message of another system is not put into the
    /// mailbox: its receipt is returned, so that the caller can hold it and then return it to the queue.
    fn deliver(&self, delivery: Delivery) -> Option<Receipt>;

    /// Returns how long messages of another system are held before they return to the queue.
    fn hold(&self) -> Duration;

    /// Returns the `traceparent`s of the events in the body of a message.
    fn traceparents(&self, body: &[u8]) -> Vec<String>;

    /// Deletes confirmed messages from the outbox. The receiver resolves when that is committed.
    fn confirmed(&self, messages: Vec<MessageId>) -> oneshot::Receiver<()>;
}

impl<P: Participant> Intake for Mailbox<P> {
    fn deliver(&self, delivery: Delivery) -> Option<Receipt> {
        let Delivery { body, message_id, redeliveries, dead_lettered, receipt } = delivery;
        let raw = Arc::new(Raw { body, message_id, redeliveries, received_at: self.clock.now() });
        let body = Arc::clone(&raw.body);
        let events = Events::<P::Message>::read(&body);
        let dead_lettered = match self.identity.ownership(events.system_id) {
            Ownership::Ours => dead_lettered,
            Ownership::DeadLetter(reason) => Some(reason),
            Ownership::Foreign(why) => {
                self.identity.received_foreign(&why);
                return Some(receipt);
            }
        };
        let (inputs, dead_lettered, batch_id) = self.sort(events, &raw, dead_lettered.as_deref());
        let item = Item::Input(Pending {
            inputs,
            dead_lettered,
            origin: Origin::Queue { raw, batch_id, receipt: SharedReceipt::new(receipt) },
        });
        // If the engine has ended, this drops the receipt, and so returns the delivery to the queue.
        let _ = self.items.send(item);
        None
    }

    fn hold(&self) -> Duration {
        self.identity.hold()
    }

    fn traceparents(&self, body: &[u8]) -> Vec<String> {
        let events = Events::<P::Message>::read(body).all.into_iter();
        events.filter_map(|(_, event)| event.ok()?.header().traceparent.clone()).collect()
    }

    fn confirmed(&self, messages: Vec<MessageId>) -> oneshot::Receiver<()> {
        let (forgotten, done) = oneshot::channel();
        let _ = self.items.send(Item::Confirmed { messages, forgotten });
        done
    }
}

fn stopping() -> Refusal {
    Refusal::Unavailable("the service is stopping".to_owned())
}
