use std::{fmt, future::Future};

use opentelemetry::trace::Span as _;
use prometheus_client::registry::Registry;
use saga_database::Writes;
use saga_message::{Message, ServiceSpec, SystemId, Timestamp};
use sea_orm::{DatabaseTransaction, DbErr};

use super::{Cause, Reply};
use crate::trace::{MessageSpans, OpenSpan, traceparent};

/// One service's part in the saga, which the engine runs.
///
/// For each batch, the engine calls [`load`](Self::load) for the rows that the inputs touch, [`decide`](Self::decide)
/// for each input, in memory, [`save`](Self::save) for what has changed, and after the commit
/// [`on_committed`](Self::on_committed).
pub trait Participant: Send + Sync + Sized + fmt::Debug + 'static {
    /// The messages that it receives from other services and publishes to them.
    type Message: Message;
    /// The commands of callers, of the clock and of the service itself. One that a caller waits for carries a
    /// [`ReplyTo`](super::ReplyTo).
    type Command: Send + Sync + fmt::Debug + 'static;
    /// The result of an external call.
    type CallResult: Send + Sync + fmt::Debug + 'static;
    /// The rows of one batch, and their changes.
    type State: Send;

    /// Returns which service this is.
    fn service(&self) -> ServiceSpec;

    /// Returns whether an external call must be made before this input can be decided.
    fn needs_call(&self, _payload: &Payload<Self>) -> bool {
        false
    }

    /// Makes the external call, before any transaction. It may be repeated, so it must be idempotent.
    ///
    /// # Errors
    /// If the call failed. For an event it is repeated after a pause; a caller's command is refused.
    fn call(&self, _payload: &Payload<Self>) -> impl Future<Output = Result<Self::CallResult, CallError>> + Send {
        async { Err(CallError("this participant makes no external calls".to_owned())) }
    }

    /// Returns the command to run at each tick of the clock ([`EngineSettings::tick`](super::EngineSettings::tick)), if
    /// there is one.
    fn on_tick(&self) -> Option<Self::Command> {
        None
    }

    /// Registers the metrics that only this service has.
    fn register_metrics(&self, _registry: &mut Registry) {}

    /// Loads the rows that `inputs` touch, with one query for each table, and locks them in the order of their keys.
    ///
    /// # Errors
    /// If the database fails, or a row cannot be read.
    fn load(
        &self,
        transaction: &DatabaseTransaction,
        inputs: &[&Input<Self>],
    ) -> impl Future<Output = Result<Self::State, DbErr>> + Send;

    /// Decides one input, and changes `state` in memory. It must be pure: no I/O, no clock, no randomness. `state`
    /// contains the changes of the inputs before it in the batch. If it returns an error, it must leave `state`
    /// unchanged.
    ///
    /// # Errors
    /// If the input is invalid, so that trying again would not help; an event is then dead-lettered.
    fn decide(&self, state: &mut Self::State, input: &Input<Self>) -> Result<Decision<Self>, Unacceptable>;

    /// Called for each event that a decision publishes, with the id and the time that it is published with, before the
    /// rows are saved.
    fn on_published(&self, _state: &mut Self::State, _message: &Self::Message) {}

    /// Adds the changed rows to what the batch writes, each table once.
    ///
    /// # Errors
    /// If a row cannot be converted.
    fn save(&self, state: &mut Self::State, writes: &mut Writes) -> Result<(), DbErr>;

    /// Called after the commit and before the replies, for example to notify those who wait for a change.
    fn on_committed(&self, _state: Self::State) {}
}

/// What the engine decides about.
#[derive(Debug)]
pub struct Input<P: Participant> {
    /// When it arrived or, if an external call was made, when that call returned. The time of the decision.
    pub at: Timestamp,
    /// What caused it.
    pub cause: Cause,
    /// The command or the event.
    pub payload: Payload<P>,
    /// The result of the external call, if one was made.
    pub call_result: Option<P::CallResult>,
    /// The span of handling an event.
    pub(super) span: Option<OpenSpan>,
}

impl<P: Participant> Input<P> {
    /// Returns an input that needs no external call, or whose call is yet to be made.
    #[must_use]
    pub fn new(at: Timestamp, cause: Cause, payload: Payload<P>) -> Self {
        Self { at, cause, payload, call_result: None, span: None }
    }

    /// Starts the span of handling an event, once. It becomes the cause of what the event causes.
    pub(super) fn start_span(&mut self, spans: &MessageSpans) {
        if self.span.is_none()
            && let Payload::Event(message) = &self.payload
            && let Some(span) = spans.process(&**message)
        {
            self.cause.traceparent = Some(traceparent(span.span_context()));
            self.span = OpenSpan::of_process(span);
        }
    }
}

/// The content of an input.
#[derive(Debug)]
pub enum Payload<P: Participant> {
    /// A command of a caller, of the clock or of the service itself.
    Command(P::Command),
    /// An event from another service.
    Event(Box<P::Message>),
}

impl<P: Participant> Payload<P> {
    /// Returns the message, if the input is one.
    pub(super) fn message(&self) -> Option<&P::Message> {
        match self {
            Self::Event(message) => Some(message),
            Self::Command(_) => None,
        }
    }

    /// Returns the system that the message belongs to, if the input is a message and contains it.
    pub(super) fn system_id(&self) -> Option<SystemId> {
        self.message()?.header().system_id
    }
}

/// The events that a participant publishes.
pub type EventOf<P> = <<P as Participant>::Message as Message>::Event;

/// The result of deciding one input.
#[derive(Debug)]
pub struct Decision<P: Participant> {
    /// The reply to the caller, if there is a caller.
    pub reply: Option<Reply>,
    /// The events to publish.
    pub events: Vec<EventOf<P>>,
    /// Commands that the service sends to itself after the commit. They may be lost in a crash, so a tick of the clock
    /// must find what they were for.
    pub follow_ups: Vec<P::Command>,
}

impl<P: Participant> Decision<P> {
    /// Returns a decision without a reply and without events.
    #[must_use]
    pub fn silent() -> Self {
        Self::publish(Vec::new())
    }

    /// Returns a decision that publishes `events`, without a reply.
    #[must_use]
    pub fn publish(events: Vec<EventOf<P>>) -> Self {
        Self { reply: None, events, follow_ups: Vec::new() }
    }

    /// Returns a decision with this reply, and without events.
    #[must_use]
    pub fn reply(reply: Reply) -> Self {
        Self::silent().replying(reply)
    }

    /// Returns the decision with this reply.
    #[must_use]
    pub fn replying(self, reply: Reply) -> Self {
        Self { reply: Some(reply), ..self }
    }
}

/// Why an input cannot be handled, as text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unacceptable(pub String);

/// Why an external call failed, as text. The failure may be temporary.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CallError(pub String);
