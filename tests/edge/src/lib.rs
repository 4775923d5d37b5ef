//! Attacks on the services over loopback, bounded in connections and time: what a service must survive while it
//! serves its honest clients.

pub mod attack;
