use std::{process::ExitCode, time::Instant};

use test_servers::programs;

use crate::{alerts, chart, disk, policy, servers, step::Step, tool};

/// Check formatting, lints, docs, alert rules, the Helm chart, the dependency policy and the tests, as for every change
///
/// Stops at the first step that fails. The tests come last. They use a PostgreSQL and a RabbitMQ that are started for
/// them, and run with cargo-nextest if it is installed. So the last lines are the test runner's summary, and what could
/// not be checked.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Run only the tests
    #[arg(long)]
    skip_lints: bool,
    /// Arguments for the test runner, such as a part of a test's name. Doc tests are skipped then
    #[arg(last = true)]
    runner_args: Vec<String>,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let start = Instant::now();
    let mut notices = disk::warn();
    if !args.skip_lints {
        lints()?;
        alerts::check()?;
        notices.extend(chart::check()?);
        notices.extend(policy::check()?);
        println!("\nAll but the tests passed, in {:.0} s.", start.elapsed().as_secs_f64());
    }
    let code = tests(&args.runner_args)?;
    // Printed directly after the runner's summary, because it would be overlooked further up.
    for notice in notices {
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
    // It is large, and only the tests of the console need it.
    if runner_args.is_empty() || runner_args.iter().any(|argument| argument.contains("browser")) {
        programs::ensure_browser()?;
    }
    programs::ensure_haproxy()?;
    let nextest = Step::cargo("", ["nextest", "--version"]).succeeds();
    let runner = if nextest {
        if runner_args.is_empty() {
            // cargo-nextest does not run doc tests.
            Step::cargo("doc tests", ["test", "--workspace", "--doc", "--locked"]).run()?;
        }
        Step::cargo("tests", ["nextest", "run", "--workspace", "--locked"])
    } else {
        // Without --no-fail-fast, the crates after the first failure would not be tested.
        Step::cargo("tests", ["test", "--workspace", "--locked", "--no-fail-fast"])
    };
    if runner_args.is_empty() {
        // The test of the README's commands starts these. Building them here shows how long it takes.
        Step::cargo("release build", ["build", "--release", "--locked"]).run()?;
        Step::cargo("benchmark build", tool::ALL_RELEASED).run()?;
    }
    let servers = servers::start(1)?;
    let variables = servers.environment()?;
    variables.iter().fold(runner.args(runner_args), |runner, (name, value)| runner.hidden_env(name, value)).run_last()
}
