//! What identifies messages and services: ids, timestamps, routes, the [`Message`] trait that the runtime handles, and
//! how several events share a message ([`framing`]).
//!
//! This crate does no I/O, reads no clock and generates no ids, so that a contract between services can depend on it.

pub mod framing;
mod ids;
mod message;
mod timestamp;
mod trace;

pub use ids::{MessageId, SystemId, SystemIdError};
pub use message::{Header, Message, Route, ServiceSpec};
pub use timestamp::Timestamp;
pub use trace::is_traceparent;

// The README's example compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
