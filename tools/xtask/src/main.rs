//! The project's own commands, for CI and for people: `cargo xtask help` lists them.
//!
//! Everything runs from the root of the checkout, and nothing is installed outside it; except that the packages of
//! PostgreSQL and RabbitMQ are, where they are missing, by the tests and `servers` if root runs them on Debian or
//! Ubuntu.
#![allow(clippy::print_stdout, reason = "a command line tool talks to its caller there")]

mod credentials;
mod policy;
mod servers;
mod step;
mod test;
mod tool;

use std::{env, path::Path, process::ExitCode};

use anyhow::Context as _;
use clap::Parser;

#[derive(Parser)]
#[command(bin_name = "cargo xtask", about = "The project's own commands")]
enum Task {
    Test(test::Args),
    /// Runs the benchmarks; whatever follows is theirs, `--help` too
    Bench(tool::Args),
    /// Loads the system, brings faults about at random, and checks every answer; whatever follows is its own, `--help` too
    Torture(tool::Args),
    Servers(servers::Args),
    Credentials(credentials::Args),
    /// Tests and measures the stack of docker-compose.yml; whatever follows is passed on, `--help` too
    StackTest(tool::Args),
}

fn main() -> ExitCode {
    run(Task::parse()).unwrap_or_else(|error| {
        eprintln!("\nerror: {error:#}");
        ExitCode::FAILURE
    })
}

fn run(task: Task) -> anyhow::Result<ExitCode> {
    // Read now and not compiled in: a checkout may be moved together with its target folder.
    let here = env::var_os("CARGO_MANIFEST_DIR").context("run this as `cargo xtask`")?;
    let root = Path::new(&here).ancestors().nth(2).context("xtask stands in tools/ of the workspace")?;
    env::set_current_dir(root).with_context(|| format!("cannot work in {}", root.display()))?;
    match task {
        Task::Test(args) => test::run(&args),
        Task::Bench(args) => tool::run_with_all("benchmarks", "bench", &args),
        Task::Torture(args) => tool::run_with_all("torture", "torture", &args),
        Task::Servers(args) => servers::run(&args),
        Task::Credentials(args) => credentials::run(&args),
        Task::StackTest(args) => tool::run("stack", "stack-test", &args),
    }
}
