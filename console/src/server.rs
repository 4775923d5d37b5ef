use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Result, anyhow, bail};
use service_host::admin::AdminToken;
use service_http::{ClientTls, HttpMetrics, ListenerConfig, serve};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::{
    client::Services,
    live::Live,
    routes::routes,
    runs::Runs,
    security::Access,
    settings::{Addresses, ConsoleSettings},
    state::AppState,
};

/// How long requests may take to finish when the console stops.
const DRAIN: Duration = Duration::from_secs(2);

/// The console, listening. It ends when this is dropped.
#[derive(Debug)]
pub struct Console {
    address: SocketAddr,
    stopping: CancellationToken,
    server: JoinHandle<io::Result<()>>,
}

/// How the console gets to the admin endpoints of the services.
#[derive(Debug, Clone)]
pub enum AdminAccess {
    /// With the token that the operator has set. Who uses the console logs in with it.
    Token(AdminToken),
    /// With a token that only this process knows, or not at all. The console listens on this machine only, and there is
    /// no login.
    WithoutLogin(Option<AdminToken>),
}

impl Console {
    /// Binds the console's address, before anything else is started.
    ///
    /// # Errors
    /// If the port is in use, or the address is reachable from other machines and there is no login.
    pub async fn listen(settings: &ConsoleSettings, admin: &AdminAccess) -> Result<TcpListener> {
        let address = settings.console_listen;
        if matches!(admin, AdminAccess::WithoutLogin(_)) && !address.ip().is_loopback() {
            bail!(
                "the console would be open to other machines at {address}: set an admin token, with which one logs in \
                 (--admin-token, ADMIN_TOKEN, --admin-token-file), or let it listen on this machine only \
                 (--console-listen 127.0.0.1:{})",
                address.port()
            );
        }
        TcpListener::bind(address).await.map_err(|error| match error.kind() {
            io::ErrorKind::AddrInUse => anyhow!(
                "the address {address} of the console is taken: stop what listens there, or choose another address \
                 with --console-listen"
            ),
            io::ErrorKind::PermissionDenied => anyhow!(
                "may not listen on the address {address} of the console: choose a port above 1023 with --console-listen"
            ),
            _ => anyhow!(
                "cannot listen on the address {address} of the console: {error}; choose another with --console-listen"
            ),
        })
    }

    /// Starts the console on `listener`, which serves as `config` says. `tls` says which certificates of services it
    /// trusts, if these have `https` addresses. The services need not run.
    ///
    /// # Errors
    /// If the listener has no address.
    pub fn start(
        listener: TcpListener,
        addresses: &Addresses,
        admin: AdminAccess,
        config: impl Into<ListenerConfig>,
        tls: Option<ClientTls>,
    ) -> Result<Self> {
        let address = listener.local_addr()?;
        let (token, login) = match admin {
            AdminAccess::Token(token) => (Some(token.clone()), Some(token)),
            AdminAccess::WithoutLogin(token) => (token, None),
        };
        let (stopping, config) = (CancellationToken::new(), config.into());
        let services = Services::new(addresses, token.as_ref(), tls);
        let live = Live::new(services.clone(), stopping.clone());
        let app = Arc::new(AppState {
            services,
            live,
            placing: Runs::new(stopping.clone()),
            redriving: Runs::new(stopping.clone()),
            access: Access::new(login),
            is_https: config.tls.is_some(),
        });
        let until = stopping.clone();
        let server =
            tokio::spawn(async move { serve(listener, routes(app), config, &HttpMetrics::default(), until).await });
        Ok(Self { address, stopping, server })
    }

    /// Returns the address at which it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops it: it accepts no more requests, and ends the streams of events.
    pub async fn stop(mut self) {
        self.stopping.cancel();
        // What is still open then is closed by dropping it.
        let _ = tokio::time::timeout(DRAIN, &mut self.server).await;
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        self.server.abort();
    }
}
