//! A private HAProxy.

use std::{
    fs::{self, File},
    net::{SocketAddr, TcpStream},
    path::Path,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};

use crate::{files, keeper::Keeper, programs, wait};

/// How long a connection to the own machine may take.
const CONNECT: Duration = Duration::from_secs(1);

/// A running HAProxy. Dropping it ends it.
#[derive(Debug)]
pub struct HaProxy {
    keeper: Keeper,
}

impl HaProxy {
    /// Checks a configuration, and starts it with these environment variables. Returns when it accepts connections at
    /// `address`.
    ///
    /// # Errors
    /// If the program is missing, which the error says how to install, or HAProxy refuses the configuration.
    pub fn start(configuration: &Path, variables: &[(&str, String)], address: SocketAddr) -> Result<Self> {
        let program = programs::haproxy()?;
        let mut keeper = Keeper::new("haproxy", "KILL", &["nobody"])?;
        let text = fs::read_to_string(configuration).with_context(|| configuration.display().to_string())?;
        let (own, log) = (keeper.directory().join("haproxy.cfg"), keeper.directory().join("log"));
        files::write(&own, &text, 0o644)?;
        let mut check = keeper.command(&program)?;
        let check = check.args(["-c", "-f"]).arg(&own).envs(variables.iter().cloned()).output()?;
        let said = String::from_utf8_lossy(&check.stderr).into_owned();
        // Warnings, too: what is deprecated here is refused by a later version.
        ensure!(check.status.success() && said.is_empty(), "{}: {said}", configuration.display());
        let mut command = keeper.command(&program)?;
        command.args(["-db", "-f"]).arg(&own).envs(variables.iter().cloned());
        command.stdout(File::create(&log)?).stderr(File::options().append(true).open(&log)?);
        let child = keeper.start("haproxy", &mut command)?;
        wait::for_start("haproxy", child, &log, || TcpStream::connect_timeout(&address, CONNECT).ok())?;
        Ok(Self { keeper })
    }

    /// Returns its log so far.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.keeper.directory().join("log")).unwrap_or_default()
    }
}
