//! Runs the program `docker`.

use std::{process::Stdio, time::Duration};

use anyhow::{Context as _, Result, ensure};
use tokio::{process::Command, time::timeout};

/// Time limit of a command. Building the images has its own limit.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(300);

/// The result of a command.
pub(crate) struct Done {
    pub(crate) success: bool,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs `docker` with these arguments and returns what it printed.
///
/// # Errors
/// If the command fails; the error contains its output.
pub(crate) async fn docker(arguments: &[&str]) -> Result<String> {
    succeeded(arguments, try_docker(arguments).await?)
}

/// Runs `docker` like [`docker`], but a failure is not an error.
///
/// # Errors
/// If the command cannot be run, or does not end in time.
pub(crate) async fn try_docker(arguments: &[&str]) -> Result<Done> {
    let mut command = Command::new("docker");
    command.args(arguments);
    run(command, TIMEOUT).await
}

/// Returns the output of a command that has succeeded.
///
/// # Errors
/// If the command has failed; the error contains its output.
pub(crate) fn succeeded(arguments: &[&str], done: Done) -> Result<String> {
    let Done { success, stdout, stderr } = done;
    ensure!(success, "docker {} failed: {stdout}{stderr}", arguments.join(" "));
    Ok(stdout)
}

/// Runs a command for at most `limit`.
///
/// # Errors
/// If the command cannot be run, or does not end in time.
pub(crate) async fn run(mut command: Command, limit: Duration) -> Result<Done> {
    let running = command.stdin(Stdio::null()).kill_on_drop(true).output();
    let ended = timeout(limit, running).await.with_context(|| format!("{command:?} does not end"))?;
    let output = ended.with_context(|| format!("cannot run {command:?}"))?;
    Ok(Done {
        success: output.status.success(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}
