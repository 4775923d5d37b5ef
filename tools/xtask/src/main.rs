//! The project's development commands, for CI and developers: `cargo xtask help` lists them.
//!
//! All commands run in the root of the checkout, and install nothing outside it, with one exception: if PostgreSQL,
//! RabbitMQ, HAProxy or the browser of the tests is missing, `test` and `servers` install what they need of them when
//! root runs them on Debian or Ubuntu.
#![allow(clippy::print_stdout, reason = "the output is for the user")]

mod alerts;
mod certificates;
mod chart;
mod credentials;
mod disk;
mod not_checked;
mod policy;
mod servers;
mod step;
mod test;
mod tool;

use std::{env, path::Path, process::ExitCode};

use anyhow::Context as _;
use clap::Parser;

#[derive(Parser)]
#[command(bin_name = "cargo xtask", about = "The project's development commands")]
enum Task {
    Test(test::Args),
    /// Run the benchmarks; all arguments are passed on, including `--help`
    Bench(tool::Args),
    /// Run the system under load with random faults, and check every response; all arguments are passed on, including
    /// `--help`
    Torture(tool::Args),
    Servers(servers::Args),
    Credentials(credentials::Args),
    Chart(chart::Args),
    /// Test and measure the stack of docker-compose.yml; all arguments are passed on, including `--help`
    StackTest(tool::Args),
}

fn main() -> ExitCode {
    run(Task::parse()).unwrap_or_else(|error| {
        eprintln!("\nerror: {error:#}");
        ExitCode::FAILURE
    })
}

fn run(task: Task) -> anyhow::Result<ExitCode> {
    // Read at run time, because the checkout may be moved together with its target directory.
    let here = env::var_os("CARGO_MANIFEST_DIR").context("run this as `cargo xtask`")?;
    let root = Path::new(&here).ancestors().nth(2).context("xtask is in tools/ of the workspace")?;
    env::set_current_dir(root).with_context(|| format!("cannot work in {}", root.display()))?;
    match task {
        Task::Test(args) => test::run(&args),
        Task::Bench(args) => tool::run_with_all("benchmarks", "bench", &args),
        Task::Torture(args) => tool::run_with_all("torture", "torture", &args),
        Task::Servers(args) => servers::run(&args),
        Task::Credentials(args) => credentials::run(&args),
        Task::Chart(args) => chart::run(&args),
        Task::StackTest(args) => tool::run("stack", "stack-test", &args),
    }
}
