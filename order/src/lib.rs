//! x
pub mod domain;
pub mod migration;
pub mod participant;
pub mod store;
pub mod watch;
