//! The baseline: what this machine's RabbitMQ and PostgreSQL do with the very messages and rows of an order, when nothing but
//! the raw drivers (lapin, sqlx) stands before them, in batches.

mod broker;
mod database;
mod gate;
mod messages;
mod run;

pub(crate) use run::{Baseline, RUNS, measure};
