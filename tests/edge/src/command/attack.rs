//! What honest clients get with and without an attack.

use std::{net::IpAddr, time::Duration};

use anyhow::{Result, ensure};
use clap::{Args, Subcommand};
use edge::attack::{Attack, Attackers};
use testkit::{
    client::Client,
    load::{Mix, Outcome, Until, closed_loop_over},
    process::Program,
    programs::Programs,
    usage,
};

/// Each attack compares what honest clients get with and without it.
#[derive(Debug, Subcommand)]
pub(crate) enum Attacks {
    /// Send the first half of a request's head, and wait
    HalfSentHeads(Arguments),
    /// Send the head of an order, and its body one byte at a time, too slowly
    SlowBodies(Arguments),
    /// Send one whole request, and keep the connection
    IdleConnections(Arguments),
    /// Ask for the stream of orders, and read nothing
    UnreadStreams(Arguments),
    /// Ask for the longest list, again and again, and read nothing
    UnreadLists(Arguments),
    /// Ask for the longest list, read it, and ask again
    Lists(Arguments),
    /// Send orders without an API key, ten a second over each connection; the honest clients have a key
    Unknown(Arguments),
}

impl Attacks {
    pub(crate) async fn run(self) -> Result<()> {
        match self {
            Self::HalfSentHeads(arguments) => run(Attack::HalfSentHeads, &arguments).await,
            Self::SlowBodies(arguments) => run(Attack::SlowBodies, &arguments).await,
            Self::IdleConnections(arguments) => run(Attack::IdleConnections, &arguments).await,
            Self::UnreadStreams(arguments) => run(Attack::UnreadStreams, &arguments).await,
            Self::UnreadLists(arguments) => run(Attack::UnreadLists, &arguments).await,
            Self::Lists(arguments) => run(Attack::Lists, &arguments).await,
            Self::Unknown(arguments) => run(Attack::Unknown, &arguments).await,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// How many connections they occupy at each service
    #[arg(long, default_value_t = 5000)]
    connections: usize,
    /// The attackers' address; the honest clients are at 127.0.0.1
    #[arg(long, default_value = "127.0.0.2")]
    from: IpAddr,
    /// How long an attacker waits before it replaces a connection that was closed
    #[arg(long, default_value = "10s", value_parser = humantime::parse_duration)]
    pause: Duration,
    /// How many honest clients place orders
    #[arg(long, default_value_t = 16)]
    clients: usize,
    /// How long each measurement takes
    #[arg(long, default_value = "20s", value_parser = humantime::parse_duration)]
    time: Duration,
    /// Limit of open files of the system
    #[arg(long, default_value_t = 1024)]
    open_files: u32,
    /// Orders that are there before
    #[arg(long, default_value_t = 2000)]
    orders: u64,
}

async fn run(attack: Attack, cli: &Arguments) -> Result<()> {
    let program = Programs::of_this_build()?.path("order-system")?;
    let program = Program::at(&program.to_string_lossy()).with_open_files(cli.open_files);
    let directory = tempfile::tempdir()?;
    let system = program.start(directory.path(), &[])?;
    Client::new(system.addresses)?.stock_up(Mix::Uniform(1000)).await?;
    let key = match attack {
        Attack::Unknown => Some(program.create_key(directory.path(), "shop", &["orders:write"])?),
        _ => None,
    };
    let measure = async |until| {
        let (order, key) = ([system.addresses[0]], key.as_deref());
        closed_loop_over(&order, key, cli.clients, Mix::Uniform(1000), until).await
    };
    measure(Until::Orders(cli.orders)).await?;

    let before = measure(Until::Elapsed(cli.time)).await?;
    let memory = usage::memory(system.id()).unwrap_or_default();
    report("without", &before, memory);
    let attackers = Attackers::start(attack, cli.from, &system.addresses, cli.connections * 3, cli.pause);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let during = measure(Until::Elapsed(cli.time)).await?;
    report("with", &during, usage::memory(system.id()).unwrap_or_default());
    println!(
        "connections of attackers: {}, peak memory: {} MiB",
        attackers.opened(),
        mib(usage::peak_memory(system.id()))
    );
    drop(attackers);
    report("after", &measure(Until::Elapsed(cli.time)).await?, usage::memory(system.id()).unwrap_or_default());
    println!("ratio: {:.2}", during.rate() / before.rate());
    ensure!(during.refused == 0, "{} orders were refused", during.refused);
    ensure!(system.stop()?.success(), "the system did not stop");
    Ok(())
}

fn report(what: &str, outcome: &Outcome, memory: u64) {
    println!(
        "{what:>8}: {:.0} orders/s, p50 {:.1} ms, p99 {:.1} ms, {} pending, {} refused, {} MiB",
        outcome.rate(),
        outcome.milliseconds(0.5),
        outcome.milliseconds(0.99),
        outcome.pending,
        outcome.refused,
        mib(Some(memory)),
    );
}

fn mib(bytes: Option<u64>) -> u64 {
    bytes.unwrap_or_default() / 1024 / 1024
}
