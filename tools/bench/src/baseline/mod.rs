//! The baseline: how many orders this machine's RabbitMQ and PostgreSQL can process, with the same messages and rows,
//! if only the raw drivers (lapin, sqlx) use them, in batches: with one event in each message, and with several.

mod broker;
mod database;
mod gate;
mod messages;
mod run;

pub(crate) use messages::MAX_EVENTS;
pub(crate) use run::{Baseline, measure, runs};
