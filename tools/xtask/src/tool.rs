use std::{env, process::ExitCode};

use anyhow::Context as _;

use crate::step::Step;

/// Compiles all that a benchmark measures, and the benchmark, at once: one by one, some dependencies would be compiled again
/// for each, with other features.
pub(crate) const ALL_RELEASED: [&str; 5] = ["build", "--release", "--workspace", "--bins", "--locked"];

/// Arguments that are the started program's
#[derive(clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Args {
    /// Passed on as they are
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<String>,
}

/// Runs a program of `tools/` from a debug build.
pub(crate) fn run(title: &'static str, program: &str, args: &Args) -> anyhow::Result<ExitCode> {
    Step::cargo(title, ["run", "--package", program, "--"]).args(&args.args).run_last()
}

/// As [`run`], from the release build of everything.
pub(crate) fn run_with_all(title: &'static str, program: &str, args: &Args) -> anyhow::Result<ExitCode> {
    Step::cargo("release build", ALL_RELEASED).run()?;
    // This program lies in the same folder of build products, in `debug`.
    let this = env::current_exe().context("this program does not know where it is")?;
    let products = this.parent().and_then(|debug| debug.parent()).context("this program lies in no target folder")?;
    Step::program(title, &products.join("release").join(program), []).args(&args.args).run_last()
}
