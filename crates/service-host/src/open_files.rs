//! How many connections the limit of open files allows.

use anyhow::{Result, bail};
use service_http::{ConnectionLimits, DESCRIPTORS_BEYOND_LIMIT, ListenerConfig};

use crate::settings::HttpSettings;

/// File descriptors of a process beyond those of its listeners: the log, the runtime, and some to spare.
const OF_PROCESS: usize = 64;
/// File descriptors of a service beyond those of its listener: connections to the database and the broker, or files.
const OF_SERVICE: usize = 40;
/// The fewest connections with which a service is of use.
const LEAST: usize = 16;

/// What a process serves.
#[derive(Debug, Clone, Copy)]
pub struct Served {
    /// How many services.
    pub services: usize,
    /// How many listeners.
    pub listeners: usize,
}

impl Served {
    fn descriptors(self, connections: usize) -> usize {
        connections.saturating_mul(self.listeners).saturating_add(self.beyond_connections())
    }

    fn beyond_connections(self) -> usize {
        OF_PROCESS + self.services * OF_SERVICE + self.listeners * DESCRIPTORS_BEYOND_LIMIT
    }

    /// Returns how many connections each listener can have with this many open files.
    fn connections(self, open_files: usize) -> usize {
        open_files.saturating_sub(self.beyond_connections()) / self.listeners.max(1)
    }
}

impl HttpSettings {
    /// Returns how each listener of a process serves its clients.
    ///
    /// # Errors
    /// As for [`Self::limits`], or if the certificate cannot be used.
    pub fn listener(&self, served: Served) -> Result<ListenerConfig> {
        Ok(ListenerConfig { limits: self.limits(served)?, tls: self.tls.server()?, ..ListenerConfig::default() })
    }

    /// Returns the limits for each listener of a process, after raising its limit of open files as far as they need it
    /// and the system allows it.
    ///
    /// # Errors
    /// If the limit of open files is too low for `--max-connections`, or for any use.
    pub fn limits(&self, served: Served) -> Result<ConnectionLimits> {
        let wanted = self.max_connections.unwrap_or(ConnectionLimits::CONNECTIONS);
        let needed = served.descriptors(wanted);
        let possible = rlimit::increase_nofile_limit(u64::try_from(needed)?).unwrap_or(u64::MAX);
        self.limits_with(served, usize::try_from(possible).unwrap_or(usize::MAX))
    }

    fn limits_with(&self, served: Served, open_files: usize) -> Result<ConnectionLimits> {
        let wanted = self.max_connections.unwrap_or(ConnectionLimits::CONNECTIONS);
        let connections = served.connections(open_files).min(wanted);
        let needed = served.descriptors(wanted);
        let advice = format!("raise it (ulimit -n {needed}; LimitNOFILE= of systemd; ulimits of Compose)");
        if connections < wanted {
            match self.max_connections {
                _ if connections < LEAST => {
                    bail!("this process may open {open_files} files, which is too few to serve clients: {advice}")
                }
                Some(_) => bail!(
                    "--max-connections {wanted} needs {needed} open files, and this process may open {open_files}: \
                     {advice}, or set --max-connections to {connections} or less"
                ),
                None => tracing::warn!(
                    open_files,
                    connections,
                    "the limit of open files allows fewer than {wanted} connections at each address: {advice}, or \
                     accept this with --max-connections {connections}"
                ),
            }
        }
        let per_peer = self.max_connections_per_peer.unwrap_or((connections * 3 / 4).max(1));
        let Self { head_timeout, idle_timeout, write_timeout, .. } = *self;
        let limits = ConnectionLimits { connections, connections_per_peer: per_peer, ..ConnectionLimits::default() };
        Ok(ConnectionLimits { head_timeout, idle_timeout, write_timeout, ..limits })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        http: HttpSettings,
    }

    const SYSTEM: Served = Served { services: 3, listeners: 4 };

    fn limits(arguments: &[&str], served: Served, open_files: usize) -> Result<ConnectionLimits> {
        let cli = Cli::try_parse_from([&["program"], arguments].concat()).unwrap();
        cli.http.limits_with(served, open_files)
    }

    #[test]
    fn the_default_is_what_the_open_files_allow() {
        let one = Served { services: 1, listeners: 1 };
        assert_eq!(limits(&[], one, 20_000).unwrap(), ConnectionLimits::default());
        for (served, open_files) in [(one, 1024), (SYSTEM, 1024), (SYSTEM, 2000)] {
            let limits = limits(&[], served, open_files).unwrap();
            let used = served.descriptors(limits.connections);
            assert!(used <= open_files && used + served.listeners > open_files, "{limits:?}");
            assert_eq!(limits.connections_per_peer, limits.connections * 3 / 4);
        }
        let enough = SYSTEM.descriptors(ConnectionLimits::CONNECTIONS);
        assert_eq!(limits(&[], SYSTEM, enough).unwrap().connections, ConnectionLimits::CONNECTIONS);
    }

    #[test]
    fn too_few_open_files_for_a_setting_are_an_error_that_says_what_to_do() {
        let set = ["--max-connections", "2000"];
        assert_eq!(limits(&set, SYSTEM, 20_000).unwrap().connections, 2000);
        let error = limits(&set, SYSTEM, 1024).unwrap_err().to_string();
        let possible = limits(&[], SYSTEM, 1024).unwrap().connections.to_string();
        for part in ["--max-connections 2000", "ulimit -n 8312", "LimitNOFILE", &format!("to {possible} or less")] {
            assert!(error.contains(part), "{part}: {error}");
        }
        assert_eq!(limits(&["--max-connections", &possible], SYSTEM, 1024).unwrap().connections.to_string(), possible);
        let error = limits(&[], SYSTEM, 256).unwrap_err().to_string();
        assert!(error.contains("may open 256 files") && error.contains("ulimit -n"), "{error}");
    }
}
