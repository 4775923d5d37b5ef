use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

/// Metrics of one listener's connections. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct ConnectionMetrics {
    pub(super) open: Gauge,
    closed: Family<Closed, Counter>,
    refused: Family<Refused, Counter>,
    pub(super) accept_errors: Counter,
}

/// Why the server closed a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    /// The head of a request took too long.
    Head,
    /// There was no further request.
    Idle,
    /// The client took nothing of what was sent to it.
    Write,
    /// It waited for a request, and its place was needed.
    Room,
}

/// The limit because of which a connection was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Limit {
    /// That of the listener.
    Listener,
    /// That of the client's address.
    Peer,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Closed {
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Refused {
    limit: &'static str,
}

impl ConnectionMetrics {
    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register("http_connections", "Open connections of clients", self.open.clone());
        let help = "Connections that the server closed, by reason";
        registry.register("http_connections_closed", help, self.closed.clone());
        let help = "Connections that were refused because of a limit, none of them being free";
        registry.register("http_connections_refused", help, self.refused.clone());
        let help = "Connections that could not be accepted, such as for want of file descriptors";
        registry.register("http_accept_errors", help, self.accept_errors.clone());
    }

    pub(super) fn closed(&self, reason: Reason) {
        let reason = match reason {
            Reason::Head => "head",
            Reason::Idle => "idle",
            Reason::Write => "write",
            Reason::Room => "room",
        };
        self.closed.get_or_create(&Closed { reason }).inc();
    }

    pub(super) fn refused(&self, limit: Limit) {
        let limit = match limit {
            Limit::Listener => "listener",
            Limit::Peer => "peer",
        };
        self.refused.get_or_create(&Refused { limit }).inc();
    }
}
