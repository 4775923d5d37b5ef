//! The outbox and its relay: one door out. Only the relay publishes, and it forgets an event only when the broker has
//! confirmed it; so an event is published at least once.

mod in_flight;
mod outbox;
mod run;

pub use outbox::Outbox;
pub use run::Relay;
