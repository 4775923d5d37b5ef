//! The runtime as the services use it: the brokers' promises, the engine with a participant for the tests, the
//! relay with brokers that misbehave, the databases.
#![allow(clippy::unwrap_used, reason = "a test that unwraps fails where it should")]

mod admin;
mod api_keys;
mod batches;
mod broken_broker;
mod broken_promises;
mod broker;
mod bulk;
mod counting_participant;
mod crash;
mod dead_letter_queue;
mod dead_letters;
mod engine_harness;
mod external_calls;
mod identity;
mod in_process;
mod inbox;
mod metrics;
mod one_system;
mod outage;
mod postgres;
mod rabbitmq;
mod relay;
mod scripted;
mod several_events;
mod sqlite;
mod wait;
