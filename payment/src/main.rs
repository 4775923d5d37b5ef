//! The program `payment`: runs the payment service as a process of its own.

use std::process::ExitCode;

use clap::Parser;
use mimalloc::MiMalloc;
use payment::{Migrator, PaymentSettings, start};
use service_host::program::{self, ProgramArgs};
use shared_events::Service;

/// The payment service: authorizes payments at the gateway, and voids them
#[derive(Debug, Parser)]
#[command(name = "payment", version)]
struct Cli {
    #[command(flatten)]
    program: ProgramArgs,
    #[command(flatten)]
    payment: PaymentSettings,
}

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    let Cli { program, payment } = Cli::parse();
    let start = async |deps, listener| start(&payment, deps, listener).await;
    let service = Service::Payment;
    program::main::<Migrator>(service.spec(), service.default_port(), program, start).await
}
