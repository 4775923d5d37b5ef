//! The three services as processes, on a PostgreSQL and a RabbitMQ of their own: whatever fails, nothing that was answered is
//! lost and nothing happens twice. Each test starts its own servers; one test at a time is enough for a machine.

#![allow(clippy::print_stdout, reason = "the torture run says what it did")]

mod alarms;
mod broker_tampering;
mod crashes;
mod identity;
mod network;
mod outages;
mod poison;
mod replicas;
mod rights;
mod starts;
mod torture;

/// What a service misses, by its answer at `/health/ready`.
fn missing(body: &serde_json::Value) -> Vec<&str> {
    let dependencies = body["dependencies"].as_array().map(Vec::as_slice).unwrap_or_default();
    dependencies.iter().filter(|one| one["status"] != "ok").filter_map(|one| one["name"].as_str()).collect()
}
