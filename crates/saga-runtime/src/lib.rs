//! Transactional inbox, outbox and relay for services on SeaORM.
//!
//! A service is a [`Participant`]: it loads rows, decides about commands and messages in memory, and says which rows have
//! changed and which events follow. The [`Engine`] runs it: what lies in its [`Mailbox`] is handled in one database
//! transaction, and only then are callers answered, deliveries acknowledged and the [`Relay`] woken.
//!
//! It guarantees that a change, the message that caused it and the events that it causes are durable together or not at
//! all, and that an event is published at least once and handled once. It knows no event: see the README for what it does
//! not guarantee.

pub mod broker;
mod consumer;
mod engine;
mod identity;
mod metrics;
mod readiness;
mod relay;
mod shutdown;

pub use consumer::{Source, consume};
pub use engine::{
    CallError, Cause, Decision, Engine, EngineSettings, EventOf, Input, Mailbox, Participant, Payload, Redriven,
    Refusal, Reply, ReplyTo, Unacceptable,
};
pub use identity::{IdentityError, IdentitySettings, SystemIdentity, establish, establish_all};
pub use metrics::EngineMetrics;
pub use readiness::{Dependency, Readiness};
pub use relay::{Outbox, Relay};
pub use shutdown::Stages;
