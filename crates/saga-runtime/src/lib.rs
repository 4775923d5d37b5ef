//! Transactional inbox, outbox and relay for services on SeaORM.
//!
//! A service implements [`Participant`]: it loads rows, decides about commands and messages in memory, and returns the
//! changed rows and the events to publish. The [`Engine`] runs it: it handles the inputs from its [`Mailbox`] in
//! batches, each in one database transaction, and only after the commit replies to callers, acknowledges deliveries and
//! wakes the [`Relay`].
//!
//! It guarantees that a change, the message that caused it and the events that it causes become durable together or not
//! at all, and that an event is published at least once and handled once. It does not depend on any particular event.
//! For what it does not guarantee, see the README.

pub mod broker;
#[cfg(feature = "conformance")]
pub mod conformance;
mod consumer;
mod engine;
mod identity;
mod metrics;
mod readiness;
mod relay;
mod runtime;
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
pub use runtime::{Runtime, RuntimeDeps};
pub use shutdown::ShutdownStages;

// The README's example compiles.
#[cfg(all(doctest, feature = "conformance"))]
#[doc = include_str!("../README.md")]
mod readme {}
