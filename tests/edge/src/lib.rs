//! Attacks on the services over loopback, bounded in connections and time: what a service must survive while it
//! serves its honest clients. And fuzzed requests: whatever a client sends, it gets a clear answer.

pub mod attack;
pub mod fuzz;
