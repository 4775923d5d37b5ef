//! The whole order system in one process: three services, each with its SQLite file, and an in-process broker between
//! them. It is what `cargo run` starts, and what the end-to-end tests drive.
//!
//! Nothing of it is a toy: the services are the same as in production, an answer given is on the disk, and a crash at any
//! moment loses nothing. What it does not do is run on more than one machine.

pub mod audit;
pub mod cli;
pub mod data_dir;
pub mod dead_letters;
pub mod system;
