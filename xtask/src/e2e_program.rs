use std::process::ExitCode;

use crate::step::Step;

/// Arguments that are the started program's
#[derive(clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Args {
    /// Passed on as they are
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<String>,
}

/// Runs a program of the crate `e2e`, compiled with these `flags`.
pub(crate) fn run(title: &'static str, flags: &[&str], program: &str, args: &Args) -> anyhow::Result<ExitCode> {
    let words = [&["run"], flags, &["-p", "e2e", "--bin", program, "--"]].concat();
    Step::cargo(title, words).args(&args.args).run_last()
}
