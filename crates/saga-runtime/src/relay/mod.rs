//! The outbox and its relay. Only the relay publishes, and an event is deleted only after the broker has confirmed it,
//! so each event is published at least once.

mod in_flight;
mod outbox;
mod run;

pub use outbox::Outbox;
pub use run::Relay;
