//! Runs a PostgreSQL and a RabbitMQ until this program ends, and prints their addresses. `cargo xtask servers` does the
//! same for developers; this program is small enough for this crate's tests to kill.
#![allow(clippy::print_stdout, reason = "the output is for the user")]

fn main() -> anyhow::Result<()> {
    let servers = test_servers::Both::start(1)?;
    println!("{}\n# Ctrl-C ends them and removes their data.", servers.exports()?);
    // No cleanup is needed when this process ends: the servers' keeper notices it.
    loop {
        std::thread::park();
    }
}
