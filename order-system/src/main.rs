//! `order-system`: the whole system in one process, and its audit.

use std::process::ExitCode;

use clap::Parser;
use mimalloc::MiMalloc;
use order_system::cli::{self, Cli};

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    match cli::execute(Cli::parse()).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("order-system: {error:#}");
            ExitCode::FAILURE
        }
    }
}
