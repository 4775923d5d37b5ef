//! `cargo xtask stack-test`: builds the images, brings `docker-compose.yml` up under a name and ports of its own, and holds it
//! to what it promises: the README's commands work, no container can do or reach more than it must, each can be killed
//! under load and nothing is lost, replicas share the work, `down` keeps everything, and `down -v` leaves nothing.
//!
//! It measures what it says in the README's table on the way. It needs a Docker engine with Compose v2 and `curl`.

#![allow(clippy::print_stdout, reason = "a command line tool talks to its caller there")]

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

/// Builds the images, brings the stack up under a project name and ports of its own, and tests and measures it
#[derive(Debug, Parser)]
#[command(bin_name = "cargo xtask stack-test")]
struct Settings {
    /// Writes what it measured into the README's table
    #[arg(long)]
    write: bool,
    /// When the whole is given up
    #[arg(long, default_value = "1h", value_parser = humantime::parse_duration)]
    limit: Duration,
    /// How long the load lasts under which memory is measured
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
        stack::tell_logs().await;
    }
    // Also after a failure, and what is left of an earlier one.
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

/// A headline.
fn say(text: &str) {
    println!("\n==> {text}");
}
