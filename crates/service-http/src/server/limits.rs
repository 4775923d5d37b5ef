use std::time::Duration;

/// What clients may occupy at one listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// Maximum number of open connections.
    pub connections: usize,
    /// Maximum number of open connections of one client: an IPv4 address, or a /64 network of IPv6.
    pub connections_per_peer: usize,
    /// Time limit for a request's head: for the first one, from the beginning of the connection; for a further one,
    /// from its first byte.
    pub head_timeout: Duration,
    /// How long a connection may be idle between two requests.
    pub idle_timeout: Duration,
    /// How long a client may take nothing of what is sent to it.
    pub write_timeout: Duration,
    /// How long a connection has to wait for a request before it is closed to make room for another one. The request of
    /// a new one may be on its way, and of many that come at the same time none must be lost.
    pub settled: Duration,
}

impl ConnectionLimits {
    /// The default number of connections.
    pub const CONNECTIONS: usize = 1024;
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            connections: Self::CONNECTIONS,
            connections_per_peer: Self::CONNECTIONS / 4 * 3,
            head_timeout: Duration::from_secs(10),
            // Longer than the 90 s after which the usual clients (reqwest, hyper, Go) close a pooled connection. If it
            // were shorter, a request could be sent on a connection that is just being closed.
            idle_timeout: Duration::from_secs(100),
            write_timeout: Duration::from_secs(30),
            settled: Duration::from_secs(1),
        }
    }
}
