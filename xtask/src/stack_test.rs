use std::process::ExitCode;

use crate::step::Step;

/// Tests and measures the stack of docker-compose.yml; whatever follows is passed on, `--help` too
#[derive(clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Args {
    /// Passed on as they are
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<String>,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    Step::cargo("stack", ["run", "-p", "e2e", "--bin", "stack-test", "--"]).args(&args.args).run_last()
}
