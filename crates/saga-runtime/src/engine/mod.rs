//! The engine. Commands, events and ticks are inputs of one mailbox; the engine handles those that are present in one
//! database transaction, and only after the commit replies, acknowledges and wakes the relay.

mod aside;
mod batch;
mod dead_letter;
mod external_calls;
mod handle;
mod held_back;
mod mailbox;
mod messages;
mod participant;
mod pending;
mod redrive;
mod reply;
mod run;
mod standby;
mod transaction;

pub(crate) use mailbox::Intake;
pub use mailbox::{Cause, Mailbox, Refusal};
pub use participant::{CallError, Decision, EventOf, Input, Participant, Payload, Unacceptable};
pub use redrive::Redriven;
pub use reply::{Reply, ReplyTo};
pub use run::{Engine, EngineSettings};
