//! The database server and the broker that the tests use.

use std::{process::ExitCode, thread, time::Instant};

use test_servers::{Both, programs};

/// Starts a PostgreSQL and a RabbitMQ for tests and prints the variables to run `cargo test` with, until Ctrl-C
#[derive(clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_: &Args) -> anyhow::Result<ExitCode> {
    let servers = start()?;
    println!("\n{}\n\nCtrl-C ends them and removes their data.", servers.exports()?);
    // There is nothing to do at the end of this process: what keeps the servers sees it.
    loop {
        thread::park();
    }
}

/// Brings the programs where they are missing, and starts fresh servers; they end when the value is dropped, and with
/// this process.
///
/// # Errors
/// If the programs are missing and cannot be installed, or a server does not start.
pub(crate) fn start() -> anyhow::Result<Both> {
    println!("\n==> servers for tests");
    let start = Instant::now();
    programs::ensure()?;
    let servers = Both::start()?;
    println!("    {}", servers.to_string().replace('\n', "\n    "));
    println!("    ok: they took {:.1} s", start.elapsed().as_secs_f64());
    Ok(servers)
}
