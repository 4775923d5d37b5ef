//! The engine: one door in. Commands, events and ticks are inputs of one mailbox; the engine handles what is there in one
//! database transaction, and only then replies, acknowledges and wakes the relay.

mod aside;
mod asking;
mod batch;
mod mailbox;
mod participant;
mod redrive;
mod run;
mod transaction;
mod working_set;

pub use mailbox::{Cause, Mailbox, Refusal};
pub use participant::{AskError, Decision, Input, Participant, Payload, Unacceptable};
pub use redrive::Redriven;
pub use run::{Engine, EngineSettings};
pub use working_set::{ToSave, WorkingSet};
