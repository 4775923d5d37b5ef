use std::{process::ExitCode, time::Instant};

use crate::{policy, servers, step::Step, tool};

/// Checks everything that must hold before a change goes in: formatting, lints, docs, dependency policy, tests
///
/// It stops at the first step that fails. The tests come last, with a PostgreSQL and a RabbitMQ started for them, and
/// by cargo-nextest where it is installed, so the last lines are the test runner's summary, and what could not be checked.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only the tests
    #[arg(long)]
    skip_lints: bool,
    /// Passed on to the test runner: a part of a test's name, say. Doc tests are not run then
    #[arg(last = true)]
    runner_args: Vec<String>,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let start = Instant::now();
    let mut not_checked = None;
    if !args.skip_lints {
        lints()?;
        not_checked = policy::check()?;
        println!("\nAll but the tests passed, in {:.0} s.", start.elapsed().as_secs_f64());
    }
    let code = tests(&args.runner_args)?;
    // Right behind the runner's summary: a line further up is read by nobody.
    if let Some(notice) = not_checked {
        println!("({notice})");
    }
    Ok(code)
}

fn lints() -> anyhow::Result<()> {
    Step::cargo("formatting", ["fmt", "--all", "--check"]).run()?;
    let clippy = ["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"];
    Step::cargo("lints", clippy).run()?;
    Step::cargo("docs", ["doc", "--workspace", "--no-deps", "--locked"]).env("RUSTDOCFLAGS", "-D warnings").run()
}

fn tests(runner_args: &[String]) -> anyhow::Result<ExitCode> {
    let nextest = Step::cargo("", ["nextest", "--version"]).succeeds();
    let runner = if nextest {
        if runner_args.is_empty() {
            // cargo-nextest leaves these out.
            Step::cargo("doc tests", ["test", "--workspace", "--doc", "--locked"]).run()?;
        }
        Step::cargo("tests", ["nextest", "run", "--workspace", "--locked"])
    } else {
        // Without --no-fail-fast the crates after the first one with a failed test would go untested.
        Step::cargo("tests", ["test", "--workspace", "--locked", "--no-fail-fast"])
    };
    if runner_args.is_empty() {
        // The test of the README's commands starts these; built here, their time is seen.
        Step::cargo("release build", ["build", "--release", "--locked"]).run()?;
        Step::cargo("benchmark build", tool::ALL_RELEASED).run()?;
    }
    let servers = servers::start()?;
    let variables = servers.environment()?;
    variables.iter().fold(runner.args(runner_args), |runner, (name, value)| runner.passing_env(name, value)).run_last()
}
