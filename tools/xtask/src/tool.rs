use std::{env, process::ExitCode};

use anyhow::Context as _;

use crate::step::Step;

/// Compiles the benchmark and everything that it measures in one command. Separate commands would compile some
/// dependencies several times, with different features.
pub(crate) const ALL_RELEASED: [&str; 5] = ["build", "--release", "--workspace", "--bins", "--locked"];

/// Arguments for the program
#[derive(clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Args {
    /// Arguments that are passed on unchanged
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<String>,
}

/// Runs a program of `tools/` from a debug build.
pub(crate) fn run(title: &'static str, program: &str, args: &Args) -> anyhow::Result<ExitCode> {
    Step::cargo(title, ["run", "--package", program, "--"]).args(&args.args).run_last()
}

/// Runs a program like [`run`], but from the release build of the whole workspace.
pub(crate) fn run_with_all(title: &'static str, program: &str, args: &Args) -> anyhow::Result<ExitCode> {
    Step::cargo("release build", ALL_RELEASED).run()?;
    // This program is in the `debug` directory next to `release`.
    let this = env::current_exe().context("this program does not know where it is")?;
    let products =
        this.parent().and_then(|debug| debug.parent()).context("this program is not in a target directory")?;
    Step::program(title, &products.join("release").join(program), []).args(&args.args).run_last()
}
