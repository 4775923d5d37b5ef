//! What only PostgreSQL has: several sessions, whose locks meet; and a server that can be unreachable.

mod failover;
mod locks;
mod opening;
mod replicas;
mod startup;
