//! Transactional inbox, outbox and relay for services on SeaORM.
//!
//! A service implements [`Participant`]: it loads rows, decides about commands and messages in memory, and returns the
//! changed rows and the events to publish. The [`Engine`] runs it: it handles the inputs from its [`Mailbox`] in
//! batches, each in one database transaction, and only after the commit replies to callers, acknowledges deliveries and
//! wakes the [`Relay`].
//!
//! | to … | use |
//! |---|---|
//! | change rows and publish an event about it, both or neither | [`Participant::decide`] returns both |
//! | react to another service's event, once | [`Participant::decide`] gets it as an [`Input`] |
//! | run a participant on a database and a broker | [`Runtime`] |
//! | carry out a command, and know that it is durable | [`Mailbox::ask`] |
//! | call another system before a decision | [`Participant::call`] |
//! | do something when it is due | [`Participant::on_tick`] |
//! | handle a dead letter again, or drop it | [`Mailbox::redrive`], [`Mailbox::discard`] |
//! | know whether the service can work | [`Readiness`] |
//! | stop without giving up what was accepted | [`ShutdownStages`] |
//! | see what a saga does, service by service, in OpenTelemetry | [`RuntimeDeps::tracing`](RuntimeDeps), [`trace`] |
//! | use a broker of your own | [`broker::Broker`], and the feature `conformance` to test it |
//!
//! `examples/parcels.rs` is a complete pair of services. The README says what is guaranteed and what is not.

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
pub mod trace;

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
