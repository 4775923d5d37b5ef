//! The database server and the broker that the tests use.

use std::{process::ExitCode, time::Instant};

use test_servers::{Both, programs};

use crate::step::Step;

/// Starts a PostgreSQL and a RabbitMQ for tests and prints the variables to run `cargo test` with, until Ctrl-C
#[derive(clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_: &Args) -> anyhow::Result<ExitCode> {
    // A program of its own, and not `start`, so that the same thing is tested that people use.
    programs::ensure()?;
    Step::cargo("servers", ["run", "--quiet", "--locked", "-p", "test-servers"]).run_last()
}

/// Brings the programs where they are missing, and starts fresh servers; they end when the value is dropped, and with
/// this process.
///
/// # Errors
/// Where the programs are missing and cannot be installed, or a server does not start.
pub(crate) fn start() -> anyhow::Result<Both> {
    println!("\n==> servers for the tests");
    let start = Instant::now();
    programs::ensure()?;
    let servers = Both::start()?;
    println!("    {}", servers.to_string().replace('\n', "\n    "));
    println!(
        "    ok: they took {:.1} s. To have some for a plain `cargo test`: cargo xtask servers",
        start.elapsed().as_secs_f64()
    );
    Ok(servers)
}
