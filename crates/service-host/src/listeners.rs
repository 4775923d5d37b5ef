use saga_runtime::Readiness;
use service_http::{ListenerConfig, StartupServer};
use tokio::net::TcpListener;

/// The listeners of a service.
#[derive(Debug)]
pub struct Listeners {
    /// For clients; for operators, too, if these have no listener of their own.
    pub public: TcpListener,
    /// For operators: the admin endpoints, the metrics and the documentation, which are then not on the public one.
    pub operations: Option<TcpListener>,
}

impl Listeners {
    /// Answers on all listeners while the service waits for its database.
    pub(crate) fn open_startup(
        &self,
        readiness: &Readiness,
        config: &ListenerConfig,
    ) -> std::io::Result<Vec<StartupServer>> {
        let all = std::iter::once(&self.public).chain(&self.operations);
        all.map(|listener| StartupServer::open(listener, readiness.clone(), config.clone())).collect()
    }
}

/// One listener for everything.
impl From<TcpListener> for Listeners {
    fn from(public: TcpListener) -> Self {
        Self { public, operations: None }
    }
}
