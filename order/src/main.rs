//! The program `order`: runs the order service as a process of its own.

use std::process::ExitCode;

use clap::Parser;
use mimalloc::MiMalloc;
use order::{Migrator, OrderSettings, start};
use service_host::program::{self, ProgramArgs};
use shared_events::Service;

/// The order service: takes orders, collects the facts about them, and reports their status
#[derive(Debug, Parser)]
#[command(name = "order", version)]
struct Cli {
    #[command(flatten)]
    program: ProgramArgs,
    #[command(flatten)]
    order: OrderSettings,
}

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    let Cli { program, order } = Cli::parse();
    let start = async |deps, listener| start(&order, deps, listener).await;
    let service = Service::Order;
    program::main::<Migrator>(service.spec(), service.default_port(), program, start).await
}
