//! Runs the system on real servers under load, causes faults according to a schedule, and looks for responses that
//! contradict each other: docs/reliability.md.
#![allow(clippy::print_stdout, reason = "the output is for the user")]

use std::{path::PathBuf, process::ExitCode, time::Duration};

use anyhow::{Context as _, Result, bail};
use clap::Parser;
use torture::{Kind, Schedule, Settings, Topology, shrink, torture};

/// Run the system on its own servers under load, cause faults, and check every response
///
/// The seed determines the faults, but the timing in between depends on the machine, so two runs with the same seed are
/// similar and not identical. Exits with 1 if there is a violation, after trying to find a smaller schedule that fails.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask torture", bin_name = "cargo xtask torture")]
struct Args {
    /// The servers: "single", or "cluster" with three RabbitMQ nodes and a PostgreSQL standby
    #[arg(long, default_value_t)]
    topology: Topology,
    /// How long to cause faults, in minutes
    #[arg(long, default_value_t = 5.0)]
    minutes: f64,
    /// Maximum number of faults
    #[arg(long, default_value_t = 100_000)]
    faults: usize,
    /// Seed of the faults; random by default
    #[arg(long)]
    seed: Option<u64>,
    /// Only these kinds of faults, separated by commas (--list shows them)
    #[arg(long, value_delimiter = ',')]
    only: Vec<Kind>,
    /// All kinds of faults except these
    #[arg(long, value_delimiter = ',')]
    without: Vec<Kind>,
    /// Number of replicas of each service
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=3))]
    replicas: u8,
    /// Number of clients
    #[arg(long, default_value_t = 12)]
    clients: usize,
    /// File with the schedule of an earlier run, instead of a seed
    #[arg(long)]
    schedule: Option<PathBuf>,
    /// How long to search for a smaller schedule that fails, in minutes
    #[arg(long, default_value_t = 0.0)]
    shrink_minutes: f64,
    /// List the kinds of faults and exit
    #[arg(long)]
    list: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Args::parse()).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> Result<ExitCode> {
    if args.list {
        Kind::ALL.iter().filter(|kind| kind.fits(args.topology)).for_each(|kind| println!("{kind}"));
        return Ok(ExitCode::SUCCESS);
    }
    let time = Duration::try_from_secs_f64(args.minutes * 60.0).context("--minutes")?;
    let shrinking = Duration::try_from_secs_f64(args.shrink_minutes * 60.0).context("--shrink-minutes")?;
    let schedule = schedule(&args, time)?;
    // A schedule from a file is always completed; servers that start slowly delay it.
    let time = if args.schedule.is_some() { Duration::from_secs(24 * 60 * 60) } else { time };
    println!("seed {}, {} faults are scheduled", schedule.seed, schedule.faults.len());
    let settings = Settings { clients: args.clients, at_most: time };
    let progress = |line: String| println!("{line}");
    let report = torture(&settings, &schedule, &progress).await?;
    println!("{report}");
    if report.violations.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    write(&schedule, "schedule")?;
    if !shrinking.is_zero() {
        write(&shrink(&settings, &schedule, shrinking, &progress).await?, "smaller")?;
    }
    println!("again: cargo xtask torture --schedule FILE");
    Ok(ExitCode::FAILURE)
}

fn schedule(args: &Args, time: Duration) -> Result<Schedule> {
    let print = |line: String| println!("{line}");
    if let Some(file) = &args.schedule {
        let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        let mut schedule: Schedule =
            serde_json::from_str(&text).with_context(|| format!("{} is no schedule", file.display()))?;
        let kinds = schedule.faults.iter().map(|fault| fault.kind).collect();
        let possible = Kind::possible(kinds, &print);
        schedule.faults.retain(|fault| possible.contains(&fault.kind));
        return Ok(schedule);
    }
    if let Some(kind) = args.only.iter().find(|kind| !kind.fits(args.topology)) {
        bail!("there is no {kind} with --topology {}", args.topology);
    }
    let chosen = |kind: &Kind| (args.only.is_empty() || args.only.contains(kind)) && !args.without.contains(kind);
    let wanted = |kind: &&Kind| kind.fits(args.topology) && chosen(kind);
    let kinds = Kind::possible(Kind::ALL.iter().filter(wanted).copied().collect(), &print);
    if kinds.is_empty() {
        bail!("no kind of fault is left");
    }
    // The last eight bytes of a UUIDv7 are random.
    let random = || u64::from_le_bytes(uuid::Uuid::now_v7().as_bytes()[8..].try_into().unwrap_or_default());
    let end_ms = u64::try_from(time.as_millis())?;
    let seed = args.seed.unwrap_or_else(random);
    let schedule = Schedule::new(seed, args.replicas.into(), &kinds, args.faults, end_ms);
    Ok(Schedule { topology: args.topology, ..schedule })
}

fn write(schedule: &Schedule, name: &str) -> Result<()> {
    let file = std::env::temp_dir().join(format!("torture-{}-{name}.json", schedule.seed));
    std::fs::write(&file, serde_json::to_string_pretty(schedule)?)?;
    println!("{} faults are in {}", schedule.faults.len(), file.display());
    Ok(())
}
