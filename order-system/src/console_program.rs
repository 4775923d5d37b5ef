//! The command `order-system console`: the console alone.

use std::{pin::pin, process::ExitCode};

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};
use console::{Addresses, AdminAccess, Console, ConsoleSettings};
use service_host::{
    Served,
    admin::AdminSettings,
    settings::{HttpSettings, LogSettings, TlsSettings, TrustSettings},
    signals, telemetry,
};
use shared_events::Service;

/// The `console` command.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct ConsoleProgram {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    console: ConsoleSettings,
    #[command(flatten)]
    addresses: Addresses,
    #[command(flatten)]
    trust: TrustSettings,
    #[command(flatten)]
    admin: AdminSettings,
    #[command(flatten)]
    http: HttpSettings,
    #[command(flatten)]
    logs: LogSettings,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Check whether the console answers, for a container's health check
    Health(Health),
}

#[derive(Debug, Args)]
struct Health {
    #[command(flatten)]
    console: ConsoleSettings,
    #[command(flatten)]
    tls: TlsSettings,
}

impl ConsoleProgram {
    /// Serves the console until a signal stops it.
    ///
    /// # Errors
    /// If its address cannot be used, or a setting is wrong.
    pub(crate) async fn execute(self) -> Result<ExitCode> {
        if let Some(Action::Health(Health { console, tls })) = self.action {
            service_http::probe(console.console_listen, tls.is_on(), "/health").await?;
            return Ok(ExitCode::SUCCESS);
        }
        telemetry::init(self.logs.log_format, &self.logs.log).context("the log filter is wrong (--log)")?;
        let signalled = pin!(signals::signalled().context("cannot listen for signals")?);
        let access = match self.admin.token()? {
            Some(token) => AdminAccess::Token(token),
            None => AdminAccess::WithoutLogin(None),
        };
        let listening = self.http.listener(Served { services: 0, listeners: 1 })?;
        let scheme = listening.scheme();
        let tls = self.trust.client(
            Service::ALL
                .into_iter()
                .flat_map(|service| [self.addresses.of(service), self.addresses.operations_of(service)]),
        )?;
        let listener = Console::listen(&self.console, &access).await?;
        let console = Console::start(listener, &self.addresses, access, listening, tls)?;
        tracing::info!("the console listens on {scheme}://{}", console.address());
        let signal = signalled.await;
        tracing::info!(signal, "stopping (a second signal ends at once)");
        console.stop().await;
        Ok(ExitCode::SUCCESS)
    }
}
