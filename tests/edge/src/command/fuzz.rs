//! Fuzzed requests to the system in one process.

use std::time::Instant;

use anyhow::{Result, ensure};
use clap::Args;
use edge::fuzz::{Connection, Plan, Stores, Summary, System, check, generator, run as send};
use testkit::{client::Client, process::Program, programs::Programs, usage};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// How many requests
    #[arg(long, default_value_t = 100_000)]
    requests: u64,
    /// Which requests: the same seed gives the same ones
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The number of the first request
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// After how many requests the databases are compared
    #[arg(long, default_value_t = 20_000)]
    batch: u64,
    /// How many requests are sent at the same time
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Make API keys first, and send one of them with most requests
    #[arg(long)]
    keys: bool,
    /// Send only this request, and show it with its responses
    #[arg(long)]
    only: Option<u64>,
}

const TOKEN: &str = "token-of-the-fuzzed-system";

pub(crate) async fn run(arguments: &Arguments) -> Result<()> {
    let program = Programs::of_this_build()?.path("order-system")?;
    let directory = tempfile::tempdir()?;
    let program = Program::at(&program.to_string_lossy());
    let running = program.start(directory.path(), &[&format!("--admin-token={TOKEN}")])?;
    let mut system = System {
        client: Client::new(running.addresses)?,
        stores: Stores::of_directory(directory.path()).await?,
        admin_token: TOKEN.to_owned(),
        api_keys: Vec::new(),
    };
    if arguments.keys {
        system.close(&program, directory.path()).await?;
    }
    if let Some(number) = arguments.only {
        return one(&system, arguments.seed, number).await;
    }
    let Arguments { requests, seed, first, batch, connections, .. } = *arguments;
    let plan = Plan { seed, first, requests, batch, connections };
    let started = Instant::now();
    let summary = send(&system, plan, |summary| progress(summary, started)).await?;
    println!("responses by status: {:?}", summary.statuses);
    println!(
        "{} requests of seed {seed}, {} refused ones repeated, {} without response, longest {:.1} s, peak {} MiB, \
         {} violations",
        summary.requests,
        summary.repeated,
        summary.unanswered,
        summary.longest.as_secs_f64(),
        usage::peak_memory(running.id()).unwrap_or_default() / 1024 / 1024,
        summary.violations.len(),
    );
    let log = std::fs::read_to_string(directory.path().join("log"))?;
    let errors: Vec<_> = log.lines().filter(|line| line.contains("ERROR") || line.contains("panicked")).collect();
    summary
        .violations
        .iter()
        .map(String::as_str)
        .chain(errors.iter().copied().take(20))
        .for_each(|one| println!("{one}"));
    ensure!(summary.violations.is_empty() && errors.is_empty(), "there are violations, or errors in the log");
    ensure!(running.stop()?.success(), "the system did not stop");
    Ok(())
}

fn progress(summary: &Summary, started: Instant) {
    let all = summary.requests + summary.repeated;
    let rate = all as f64 / started.elapsed().as_secs_f64();
    println!("{} requests, {rate:.0}/s with repetitions, {} violations", summary.requests, summary.violations.len());
}

async fn one(system: &System, seed: u64, number: u64) -> Result<()> {
    let generator = generator(system, seed).await?;
    let request = generator.request(number);
    println!("{request:?}");
    let responses = Connection::new(system.client.addresses[request.service]).send(&request).await?;
    for response in &responses {
        println!("{response:?}\n{}", String::from_utf8_lossy(&response.body));
    }
    check(&generator, &request, &responses).map_err(anyhow::Error::msg)
}
