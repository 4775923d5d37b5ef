//! One process of one service.

use std::{
    fs::File,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use shared_events::Service;

/// How long a process may take to end after SIGTERM. Longer than its own `--drain-timeout`s.
const END: Duration = Duration::from_secs(40);

/// A replica of a service, running or not, always on the same port. It is killed when this is dropped.
#[derive(Debug)]
pub struct Replica {
    /// The service.
    pub service: Service,
    /// The address that it listens on.
    pub address: SocketAddr,
    program: PathBuf,
    /// What it is started with at the next start.
    pub settings: Settings,
    log: PathBuf,
    child: Option<Child>,
}

/// What a replica is started with.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Environment variables. It gets no others, except `PATH`.
    pub variables: Vec<(String, String)>,
    /// Command-line arguments.
    pub arguments: Vec<String>,
}

/// Returns a command with nothing of this process's environment but `PATH`.
#[must_use]
pub fn bare_command(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear().stdin(Stdio::null());
    command.envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
    command
}

impl Replica {
    /// Creates a replica of the service's `program` that does not run yet. Its log is the file `log`.
    ///
    /// # Errors
    /// If no port is free.
    pub fn new(service: Service, program: PathBuf, settings: Settings, log: PathBuf) -> Result<Self> {
        let address = SocketAddr::from(([127, 0, 0, 1], test_servers::free_port()?));
        Ok(Self { service, address, program, settings, log, child: None })
    }

    /// Starts it, without waiting until it is ready.
    ///
    /// # Errors
    /// If it runs already, or cannot be started.
    pub fn start(&mut self) -> Result<()> {
        ensure!(!self.runs(), "{self} runs already");
        let log = File::options().create(true).append(true).open(&self.log)?;
        let mut command = bare_command(&self.program);
        command.envs(self.settings.variables.iter().map(|(name, value)| (name, value)));
        command.arg("--listen").arg(self.address.to_string()).args(&self.settings.arguments);
        let child = command.stdout(Stdio::null()).stderr(log).spawn();
        self.child = Some(child.with_context(|| format!("cannot start {self}"))?);
        Ok(())
    }

    /// Returns whether the process exists.
    pub fn runs(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// Returns how its process has ended, if it ended by itself. It can then be started again.
    pub fn ended_by_itself(&mut self) -> Option<ExitStatus> {
        let status = self.child.as_mut()?.try_wait().ok()??;
        self.child = None;
        Some(status)
    }

    /// Returns its process, if one was started.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Kills it with SIGKILL: nothing is flushed, and no connection is closed gracefully.
    ///
    /// # Errors
    /// If it does not run.
    pub fn kill(&mut self) -> Result<()> {
        ensure!(self.runs(), "{self} has ended by itself");
        let mut child = self.child.take().context("it runs")?;
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// Sends SIGTERM, and waits until it has ended.
    ///
    /// # Errors
    /// If it does not run, or does not end.
    pub async fn stop(&mut self) -> Result<ExitStatus> {
        ensure!(self.runs(), "{self} has ended by itself");
        let mut child = self.child.take().context("it runs")?;
        let asked = Command::new("sh").args(["-c", r#"kill -s TERM "$0""#, &child.id().to_string()]).status()?;
        ensure!(asked.success(), "cannot signal {self}");
        let deadline = tokio::time::Instant::now() + END;
        let mut looks = tokio::time::interval(Duration::from_millis(10));
        loop {
            looks.tick().await;
            if let Some(status) = child.try_wait()? {
                return Ok(status);
            }
            if tokio::time::Instant::now() > deadline {
                child.kill()?;
                child.wait()?;
                bail!("{self} did not end within {END:?} after SIGTERM");
            }
        }
    }

    /// Returns its log so far, over all its starts: one JSON object per line.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read(&self.log).map(|text| String::from_utf8_lossy(&text).into_owned()).unwrap_or_default()
    }
}

impl std::fmt::Display for Replica {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} on {}", self.service, self.address)
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
