//! The program `inventory`: runs the inventory service as a process of its own.

use std::process::ExitCode;

use clap::Parser;
use inventory::{InventorySettings, Migrator, start};
use mimalloc::MiMalloc;
use service_host::program::{self, ProgramArgs};
use shared_events::Service;

/// The inventory service: keeps the stock, and holds it for orders
#[derive(Debug, Parser)]
#[command(name = "inventory", version)]
struct Cli {
    #[command(flatten)]
    program: ProgramArgs,
    #[command(flatten)]
    inventory: InventorySettings,
}

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    let Cli { program, inventory } = Cli::parse();
    let start = async |deps, listener| start(&inventory, deps, listener).await;
    let service = Service::Inventory;
    program::main::<Migrator>(service.spec(), service.default_port(), program, start).await
}
