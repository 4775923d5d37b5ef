//! `cargo xtask stack-test`: builds the images, starts `docker-compose.yml` under its own project name and ports, and
//! checks what it promises: the README's commands work, no container has more privileges or network access than it
//! needs, each can be killed under load without losing anything, replicas share the work, `down` keeps everything, and
//! `down -v` leaves nothing.
//!
//! It also measures the values of the README's table. It needs a Docker engine with Compose v2, and `curl`.

#![allow(clippy::print_stdout, reason = "the output is for the user")]

mod confined;
mod docker;
mod faults;
mod kept;
mod load_generator;
mod measure;
mod readme;
mod stack;

use std::{process::ExitCode, time::Duration};

use anyhow::{Context as _, Result};
use clap::Parser;

use stack::Stack;

/// Build the images, start the stack under its own project name and ports, and test and measure it
#[derive(Debug, Parser)]
#[command(bin_name = "cargo xtask stack-test")]
struct Settings {
    /// Write the results into the README's table
    #[arg(long)]
    write: bool,
    /// Time limit of the whole test
    #[arg(long, default_value = "1h", value_parser = humantime::parse_duration)]
    limit: Duration,
    /// Duration of the load under which memory is measured
    #[arg(long, default_value = "20s", value_parser = humantime::parse_duration)]
    load: Duration,
}

#[tokio::main]
async fn main() -> ExitCode {
    let settings = Settings::parse();
    let tested = tokio::select! {
        tested = tokio::time::timeout(settings.limit, test(&settings)) => {
            tested.context("it takes too long (--limit)").flatten()
        }
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
    };
    if tested.is_err() {
        stack::print_logs().await;
    }
    // Remove the stack even after a failure.
    let removed = stack::remove().await;
    match tested.and(removed) {
        Ok(()) => {
            println!("\nThe stack does what it promises, and nothing is left of it.");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("\nerror: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn test(settings: &Settings) -> Result<()> {
    stack::remove().await?;
    let mut stack = Stack::prepare().await?;
    let start = stack.up(&[]).await?;
    stack.passwords_are_its_own().await?;
    readme::scenarios(&stack).await?;
    confined::check(&stack).await?;
    let figures = measure::memory(&stack, start, settings.load).await?;
    faults::each_container_killed(&stack).await?;
    kept::by_down(&mut stack).await?;
    faults::replicas(&mut stack).await?;
    kept::not_by_down_v(&stack).await?;
    let table = figures.table();
    println!("\n{table}");
    if settings.write { readme::write(&table) } else { Ok(()) }
}

/// Prints a headline.
fn headline(text: &str) {
    println!("\n==> {text}");
}
