//! The program `inventory`: the inventory service in a process of its own.

use std::process::ExitCode;

use clap::Parser;
use inventory::{InventorySettings, Migrator, start};
use service_kit::program::{self, ProgramArgs};
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

#[tokio::main]
async fn main() -> ExitCode {
    let Cli { program, inventory } = Cli::parse();
    let start = async |foundation, listener| start(&inventory, foundation, listener).await;
    program::main::<Migrator>(Service::Inventory, program, start).await
}
