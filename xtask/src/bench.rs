use std::process::ExitCode;

use crate::step::Step;

/// Runs the benchmarks; whatever follows is theirs, `--help` too
#[derive(clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Args {
    /// Passed on as they are
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<String>,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    Step::cargo("benchmarks", ["run", "--release", "-p", "e2e", "--bin", "bench", "--"]).args(&args.args).run_last()
}
