use std::{fmt, future::Future};

use prometheus_client::registry::Registry;
use saga_database::Writes;
use saga_message::{Message, ServiceSpec, SystemId, Timestamp};
use sea_orm::{DatabaseTransaction, DbErr};

use super::{Cause, Reply};

/// One service's part in the saga: what the engine runs.
///
/// For each batch: [`load`](Self::load) the rows that the inputs touch, [`decide`](Self::decide) input by input in memory,
/// [`save`](Self::save) what changed, and after the commit [`committed`](Self::committed).
pub trait Participant: Send + Sync + Sized + fmt::Debug + 'static {
    /// What it hears from other services and publishes to them.
    type Message: Message;
    /// What callers and the clock ask for. One that a caller waits for carries a [`ReplyTo`](super::ReplyTo).
    type Command: Send + Sync + fmt::Debug + 'static;
    /// What the world outside says, where an input needs it.
    type CallResult: Send + Sync + fmt::Debug + 'static;
    /// The rows of one batch, and what is being made of them.
    type State: Send;

    /// Which service this is.
    fn service(&self) -> ServiceSpec;

    /// Whether the world outside must be asked before this input can be decided.
    fn needs_call(&self, _payload: &Payload<Self>) -> bool {
        false
    }

    /// Asks the world outside, before any transaction. ExternalCalls twice must be as good as external_calls once.
    fn call(&self, _payload: &Payload<Self>) -> impl Future<Output = Result<Self::CallResult, CallError>> + Send {
        async { Err(CallError("there is nobody to ask".to_owned())) }
    }

    /// The command of a tick of the clock, if this service has anything to do by the clock.
    fn on_tick(&self) -> Option<Self::Command> {
        None
    }

    /// Registers what only this service measures.
    fn measure(&self, _registry: &mut Registry) {}

    /// Reads the rows that `inputs` touch, one query a table, locked in the order of their keys.
    fn load(
        &self,
        transaction: &DatabaseTransaction,
        inputs: &[&Input<Self>],
    ) -> impl Future<Output = Result<Self::State, DbErr>> + Send;

    /// Decides one input, and changes `state` in memory. Pure: no I/O, no clock, no chance. The state that it sees holds
    /// what the inputs before it in the batch changed. Where it refuses an input it leaves the state as it was.
    ///
    /// # Errors
    /// If the input cannot be, so that trying again is no use; an event is parked then.
    fn decide(&self, state: &mut Self::State, input: &Input<Self>) -> Result<Decision<Self>, Unacceptable>;

    /// Told of each event that a decision publishes, with the id and the time that it goes out with, before the rows are
    /// saved.
    fn published(&self, _state: &mut Self::State, _message: &Self::Message) {}

    /// Puts the changed rows among what the batch writes, each table once.
    ///
    /// # Errors
    /// If a row cannot be.
    fn save(&self, state: &mut Self::State, writes: &mut Writes) -> Result<(), DbErr>;

    /// Told after the commit, before the replies: the place to wake those who wait.
    fn committed(&self, _state: Self::State) {}
}

/// What the engine decides about.
#[derive(Debug)]
pub struct Input<P: Participant> {
    /// When it is decided.
    pub at: Timestamp,
    /// What brought it about.
    pub cause: Cause,
    /// What it says.
    pub payload: Payload<P>,
    /// What the world outside said, where it was asked.
    pub call_result: Option<P::CallResult>,
}

/// What an input says.
#[derive(Debug)]
pub enum Payload<P: Participant> {
    /// A caller, the clock or the service itself wants something.
    Command(P::Command),
    /// Something happened elsewhere.
    Event(Box<P::Message>),
}

impl<P: Participant> Payload<P> {
    /// The message, where it is one.
    pub(super) fn message(&self) -> Option<&P::Message> {
        match self {
            Self::Event(message) => Some(message),
            Self::Command(_) => None,
        }
    }

    /// The system that the event belongs to, where it is one and says so.
    pub(super) fn system_id(&self) -> Option<SystemId> {
        self.message()?.header().system_id
    }
}

/// What a participant publishes.
pub type EventOf<P> = <<P as Participant>::Message as Message>::Event;

/// What came of one input.
#[derive(Debug)]
pub struct Decision<P: Participant> {
    /// What the caller is told, where there is a caller.
    pub reply: Option<Reply>,
    /// What the world is told.
    pub events: Vec<EventOf<P>>,
    /// What this service tells itself, after the commit. It may be lost in a crash: something by the clock must find it again.
    pub follow_ups: Vec<P::Command>,
}

impl<P: Participant> Decision<P> {
    /// Nothing to say.
    #[must_use]
    pub fn silent() -> Self {
        Self::publish(Vec::new())
    }

    /// These events.
    #[must_use]
    pub fn publish(events: Vec<EventOf<P>>) -> Self {
        Self { reply: None, events, follow_ups: Vec::new() }
    }

    /// This reply, and no events.
    #[must_use]
    pub fn reply(reply: Reply) -> Self {
        Self::silent().replying(reply)
    }

    /// This reply, too.
    #[must_use]
    pub fn replying(self, reply: Reply) -> Self {
        Self { reply: Some(reply), ..self }
    }
}

/// An input that cannot be: why, in words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unacceptable(pub String);

/// The world outside does not answer for the moment: why, in words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CallError(pub String);
