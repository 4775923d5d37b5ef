//! The baseline: how many orders this machine's RabbitMQ and PostgreSQL can process, with the same messages and rows,
//! if only the raw drivers (lapin, sqlx) use them, in batches.

mod broker;
mod database;
mod gate;
mod messages;
mod run;

pub(crate) use run::{Baseline, RUNS, measure};
