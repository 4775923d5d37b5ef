//! What identifies messages and services: ids, times, routes, and the [`Message`] trait that the runtime handles.
//!
//! It does no I/O, reads no clock and makes no random ids, so a contract between services can depend on it.

mod ids;
mod message;
mod timestamp;
mod trace;

pub use ids::{MessageId, SystemId, SystemIdError};
pub use message::{Header, Message, Route, ServiceSpec};
pub use timestamp::Timestamp;
pub use trace::is_traceparent;
