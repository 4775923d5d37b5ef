//! A gateway that moves no money.

mod conditions;
mod gateway;
mod ledger;
mod reference;

pub use conditions::{Conditions, FailureRate, InvalidFailureRate};
pub use gateway::SimulatedGateway;
