//! The command line of `order-system`.

#![allow(clippy::print_stdout, reason = "the output is for the user; logs go to standard error")]

use std::{path::PathBuf, pin::pin, process::ExitCode, time::Duration};

use anyhow::{Context as _, Result, bail};
use clap::{Args, Parser, Subcommand};
use saga_database::DatabaseArgs;
use saga_support::{YEAR, duration};
use service_host::{settings::LogSettings, signals, telemetry};

use crate::{
    audit::{self, gateway::GatewayArgs},
    console_program::ConsoleProgram,
    dead_letters::DeadLetters,
    keys::Keys,
    system::{System, SystemSettings},
};

/// An order management system: orders, stock and payments, coordinated by a choreographed saga.
///
/// Without a command, starts the three services and the console in this process, with SQLite files and an in-process
/// broker.
#[derive(Debug, Parser)]
#[command(name = "order-system", version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    system: SystemSettings,
    #[command(flatten)]
    logs: LogSettings,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check that every order has ended and that stock, payments and the payment gateway agree with it
    ///
    /// Lists every violation, and exits with 1 if there is one. The system may be running. With the payment service's
    /// settings of the gateway, also looks up each payment there; it changes nothing.
    Verify(Box<Verify>),
    /// List, redrive or discard the messages that running services could not handle
    ///
    /// Uses the services' admin endpoints and requires their token.
    DeadLetters(DeadLetters),
    /// Make, list, rotate or revoke the API keys of clients
    ///
    /// Writes to the databases of the three services, which may be running; a change takes effect within a second.
    Keys(Keys),
    /// Serve only the console, for services that run elsewhere
    ///
    /// With an admin token, one logs in with it; without one, it listens on this machine only.
    Console(Box<ConsoleProgram>),
}

#[derive(Debug, Args)]
struct Verify {
    /// Data directory (not used with --database-url)
    #[arg(long, env = "DATA_DIR", default_value = "data")]
    data_dir: PathBuf,
    #[command(flatten)]
    database: Option<DatabaseArgs>,
    /// How long to wait until all orders have ended and the data agrees
    #[arg(long, default_value = "0s", value_parser = duration(Duration::ZERO, YEAR))]
    wait: Duration,
    #[command(flatten)]
    gateway: GatewayArgs,
}

/// Runs the command.
///
/// # Errors
/// If the command cannot be carried out; the error tells the user what to do.
pub async fn execute(cli: Cli) -> Result<ExitCode> {
    match cli.command {
        None => run(&cli.system, &cli.logs).await,
        Some(Command::Console(console)) => console.execute().await,
        Some(Command::DeadLetters(dead_letters)) => dead_letters.execute().await,
        Some(Command::Keys(keys)) => keys.execute().await,
        Some(Command::Verify(verify)) => {
            let Verify { data_dir, database, wait, gateway } = *verify;
            let report = match database {
                None => audit::of_data_dir(&data_dir, wait, &gateway).await?,
                Some(database) => audit::of_databases(&database, wait, &gateway).await?,
            };
            print!("{report}");
            Ok(if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
    }
}

/// The welcome waits no longer than this for a server that does not answer.
const WELCOME_AFTER: Duration = Duration::from_secs(3);

async fn run(settings: &SystemSettings, logs: &LogSettings) -> Result<ExitCode> {
    telemetry::init(logs.log_format, &logs.log).context("the log filter is wrong (--log)")?;
    // Installed before the start, because the welcome message says that Ctrl-C stops the program.
    let mut signalled = pin!(signals::signalled().context("cannot listen for signals")?);
    let system = tokio::select! {
        system = System::start(settings) => system?,
        signal = &mut signalled => {
            tracing::info!(signal, "stopped before the databases were there");
            return Ok(ExitCode::SUCCESS);
        }
    };
    // What the services say about their dependencies comes before the welcome, so that the welcome stays in view.
    let _ = tokio::time::timeout(WELCOME_AFTER, system.dependencies_known()).await;
    print!("{}", welcome(&system));
    let signal = tokio::select! {
        signal = &mut signalled => signal,
        () = system.broken() => bail!(
            "a part of the system has ended by itself; the log says why. Start it again: nothing is lost"
        ),
    };
    tracing::info!(signal, "stopping: no new requests; what was taken is finished (a second signal ends at once)");
    system.stop().await;
    tracing::info!("stopped; everything is on the disk");
    Ok(ExitCode::SUCCESS)
}

/// Returns the welcome message, with what to do first.
fn welcome(system: &System) -> String {
    let [order, inventory, payment] = system.addresses();
    let (data, scheme) = (system.place(), system.scheme());
    let console = match system.console() {
        Some(console) => {
            format!("  console    {scheme}://{console}      open it in a browser: place orders, see what happens\n")
        }
        None => String::new(),
    };
    let access = if system.needs_keys() {
        "Requests need an API key, such as: -H 'authorization: Bearer ck_…'. See order-system keys --help."
    } else {
        "Everybody who reaches these addresses may use them, until there is an API key: order-system keys --help."
    };
    format!(
        "\
The order system runs. Its data lies in {data}.

{console}  order      {scheme}://{order}      Swagger UI: {scheme}://{order}/docs
  inventory  {scheme}://{inventory}      Swagger UI: {scheme}://{inventory}/docs
  payment    {scheme}://{payment}      Swagger UI: {scheme}://{payment}/docs

{access}

Or try it in another terminal: put stock in, order some of it, and see what is left.

  curl -s {scheme}://{inventory}/api/v1/stock/items -H 'content-type: application/json' -d '{{\"item_sku\": \"SKU-ABC\", \"quantity\": 10}}'
  curl -s {scheme}://{order}/api/v1/orders/ -H 'content-type: application/json' -d '{{\"item_sku\": \"SKU-ABC\", \"quantity\": 2, \"amount\": 200, \"currency\": \"USD\"}}'
  curl -s {scheme}://{inventory}/api/v1/stock/SKU-ABC

Ctrl-C stops it; the next start goes on where it stopped.
"
    )
}

#[cfg(test)]
mod tests {
    use clap::{ArgAction, CommandFactory as _, error::ErrorKind};
    use proptest::{prelude::*, sample::select};

    use super::*;

    /// The names of all settings that have a value, as clap knows them and as flags.
    fn settings() -> Vec<(String, String)> {
        let command = Cli::command();
        let with_value = command.get_arguments().filter(|arg| matches!(arg.get_action(), ArgAction::Set));
        with_value.filter_map(|arg| Some((arg.get_id().to_string(), arg.get_long()?.to_owned()))).collect()
    }

    /// Returns why a value is refused; `None` if it is accepted.
    fn refusal(flag: &str, value: &str) -> Option<String> {
        let parsed = Cli::command().try_get_matches_from(["order-system", &format!("--{flag}={value}")]);
        let refused = |kind| matches!(kind, ErrorKind::ValueValidation | ErrorKind::InvalidValue);
        parsed.err().filter(|error| refused(error.kind())).map(|error| error.to_string())
    }

    #[test]
    fn every_duration_and_every_number_has_limits() {
        let (mut durations, mut numbers) = (Vec::new(), Vec::new());
        for (_, flag) in settings() {
            if refusal(&flag, "banana").is_none() {
                continue;
            }
            if refusal(&flag, "1min").is_none() {
                let why = refusal(&flag, "100000years").unwrap_or_default();
                assert!(why.contains("must be at most") && why.contains(&flag), "--{flag}: {why}");
                assert!(refusal(&flag, "99999999999999999999s").is_some(), "--{flag}");
                durations.push(flag);
            } else if refusal(&flag, "7").is_none() {
                let why = refusal(&flag, "99999999999999999999999").unwrap_or_default();
                assert!(why.contains(&flag), "--{flag}: {why}");
                numbers.push(flag);
            }
        }
        assert!(durations.len() >= 15 && numbers.len() >= 8, "{durations:?} {numbers:?}");
    }

    #[test]
    fn zero_is_refused_where_it_makes_no_sense() {
        for flag in ["tick", "head-timeout", "idle-timeout", "write-timeout", "gateway-timeout", "hold-time"] {
            let why = refusal(flag, "0s").unwrap_or_default();
            assert!(why.contains("must be at least 1ms"), "--{flag}: {why}");
        }
        for flag in ["max-batch", "max-waiting", "prefetch", "max-connections", "stream-history"] {
            assert!(refusal(flag, "0").is_some() && refusal(flag, "1").is_none(), "--{flag}");
            assert!(refusal(flag, "18446744073709551615").is_some_and(|why| why.contains("at most")), "--{flag}");
        }
        for flag in ["shutdown-delay", "drain-timeout", "order-wait", "gateway-latency"] {
            assert_eq!(refusal(flag, "0s"), None, "--{flag}");
        }
    }

    proptest! {
        #[test]
        fn whatever_a_setting_is_given_it_is_refused_with_its_name_or_within_limits(
            (id, flag) in select(settings()),
            value in "[0-9]{1,25}(ns|us|ms|s|min|h|days|weeks|years|)|-?[0-9]{1,9}[.e][0-9]{1,3}|.{0,20}",
        ) {
            let parsed = Cli::command().try_get_matches_from(["order-system", &format!("--{flag}={value}")]);
            match parsed {
                Ok(matches) => {
                    let duration = matches.try_get_one::<Duration>(&id).ok().flatten();
                    prop_assert!(duration.is_none_or(|duration| *duration <= YEAR), "{:?}", duration);
                }
                Err(error) => prop_assert!(error.to_string().contains(&flag), "{}", error),
            }
        }
    }
}
