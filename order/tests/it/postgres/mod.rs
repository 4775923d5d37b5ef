//! What only PostgreSQL has: several replicas on one database, and the clock of the server.

mod clocks;
mod replicas;
