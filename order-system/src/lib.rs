//! The whole order system in one process: three services, each with its SQLite file, and an in-process broker.
//! `cargo run` starts it, and the end-to-end tests use it.
//!
//! The services are the same as in production: what a response confirms is on disk, and a crash at any moment loses
//! nothing. The only limit is that it runs on one machine.

pub mod audit;
pub mod cli;
mod console_program;
pub mod data_dir;
pub mod dead_letters;
pub mod keys;
pub mod system;
