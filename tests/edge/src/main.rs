//! `cargo run --release -p edge -- ATTACK` measures what honest clients get while others attack, and `… -- fuzz` sends
//! fuzzed requests; both to the system in one process.

#![allow(clippy::print_stdout, reason = "the output is for the user")]

mod command;

use anyhow::Result;
use clap::Parser;

/// Attack the system in one process, or send fuzzed requests to it
#[derive(Debug, Parser)]
enum Cli {
    #[command(flatten)]
    Attack(command::attack::Attacks),
    /// Send fuzzed requests, and check what is answered and what is written
    Fuzz(command::fuzz::Arguments),
}

#[tokio::main]
async fn main() -> Result<()> {
    match Cli::parse() {
        Cli::Attack(attack) => attack.run().await,
        Cli::Fuzz(arguments) => command::fuzz::run(&arguments).await,
    }
}
