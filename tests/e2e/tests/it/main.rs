//! Runs the three services as processes, on their own PostgreSQL and RabbitMQ, and checks that no fault loses anything
//! that was confirmed or makes anything happen twice. Each test starts its own servers; run one test at a time on a
//! small machine.

#![allow(clippy::print_stdout, reason = "the torture test prints its progress")]

mod alarms;
mod balancer;
mod broker_tampering;
mod cluster;
mod crashes;
mod database_users;
mod failover;
mod identity;
mod network;
mod observability;
mod outages;
mod poison;
mod refunds;
mod replicas;
mod rights;
mod starts;
mod tls;
mod torture;
mod traces;

/// Returns the dependencies that are down, from the body of `/health/ready`.
fn missing(body: &serde_json::Value) -> Vec<&str> {
    let dependencies = body["dependencies"].as_array().map(Vec::as_slice).unwrap_or_default();
    dependencies.iter().filter(|one| one["status"] != "ok").filter_map(|one| one["name"].as_str()).collect()
}
