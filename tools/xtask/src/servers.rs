//! Starts the database server and the broker that the tests use.

use std::{process::ExitCode, thread, time::Instant};

use test_servers::{Both, programs};

/// Start a PostgreSQL and a RabbitMQ for tests, print the variables to run `cargo test` with, and wait for Ctrl-C
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Start RabbitMQ as a cluster of three nodes
    #[arg(long)]
    cluster: bool,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let servers = start(if args.cluster { 3 } else { 1 })?;
    println!("\n{}\n\nCtrl-C ends them and removes their data.", servers.exports()?);
    // No cleanup is needed when this process ends: the servers' keeper notices it.
    loop {
        thread::park();
    }
}

/// Installs the programs if they are missing, and starts fresh servers, with this number of RabbitMQ nodes. They end
/// when the value is dropped, and when this process ends.
///
/// # Errors
/// If the programs are missing and cannot be installed, or a server does not start.
pub(crate) fn start(nodes: u8) -> anyhow::Result<Both> {
    println!("\n==> servers for tests");
    let start = Instant::now();
    programs::ensure()?;
    let servers = Both::start(nodes)?;
    println!("    {}", servers.to_string().replace('\n', "\n    "));
    println!("    ok: they took {:.1} s", start.elapsed().as_secs_f64());
    Ok(servers)
}
