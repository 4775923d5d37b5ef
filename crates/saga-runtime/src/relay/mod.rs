//! The outbox and its relay. Only the relay publishes, and a message is deleted only after the broker has confirmed it,
//! so each message is published at least once. Every replica publishes what it has committed; what is left over is
//! swept by one of them (docs/adr/0022).

mod in_flight;
mod outbox;
mod run;
mod sweep;

pub use outbox::Outbox;
pub use run::Relay;
