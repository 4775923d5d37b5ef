//! A PostgreSQL and a RabbitMQ for as long as this program runs; it prints where they are. `cargo xtask servers` is the
//! same for people; this one is small enough for the tests of this crate to kill.
#![allow(clippy::print_stdout, reason = "a command line tool talks to its caller there")]

fn main() -> anyhow::Result<()> {
    let servers = test_servers::Both::start()?;
    println!("{}\n# Ctrl-C ends them and removes their data.", servers.exports()?);
    // There is nothing to do at the end of this process: what keeps the servers sees it.
    loop {
        std::thread::park();
    }
}
