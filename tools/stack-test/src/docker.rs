//! The program `docker`, as a person would type it.

use std::{process::Stdio, time::Duration};

use anyhow::{Context as _, Result, ensure};
use tokio::{process::Command, time::timeout};

/// How long a command may take; a build of everything from nothing has its own limit.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(300);

/// What a command came to.
pub(crate) struct Done {
    pub(crate) success: bool,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs `docker` with these arguments and returns what it printed.
///
/// # Errors
/// If it fails: with what it said.
pub(crate) async fn docker(arguments: &[&str]) -> Result<String> {
    succeeded(arguments, try_docker(arguments).await?)
}

/// As [`docker`]; that it fails is for the caller to judge.
///
/// # Errors
/// If it cannot be run, or does not end.
pub(crate) async fn try_docker(arguments: &[&str]) -> Result<Done> {
    let mut command = Command::new("docker");
    command.args(arguments);
    run(command, TIMEOUT).await
}

/// The output of a command that has succeeded.
///
/// # Errors
/// If it has not: with what it said.
pub(crate) fn succeeded(arguments: &[&str], done: Done) -> Result<String> {
    let Done { success, stdout, stderr } = done;
    ensure!(success, "docker {} failed: {stdout}{stderr}", arguments.join(" "));
    Ok(stdout)
}

/// Runs it to its end, but not longer than `patience`.
///
/// # Errors
/// If it cannot be run, or does not end.
pub(crate) async fn run(mut command: Command, patience: Duration) -> Result<Done> {
    let running = command.stdin(Stdio::null()).kill_on_drop(true).output();
    let ended = timeout(patience, running).await.with_context(|| format!("{command:?} does not end"))?;
    let output = ended.with_context(|| format!("cannot run {command:?}"))?;
    Ok(Done {
        success: output.status.success(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}
