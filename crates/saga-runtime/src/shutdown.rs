use tokio_util::sync::CancellationToken;

/// The stages of an orderly end. Each token is cancelled once, in this order.
#[derive(Debug, Clone, Default)]
pub struct Stages {
    /// Take nothing new from outside: no connection, no request, no tick.
    pub intake: CancellationToken,
    /// Everything that was taken is finished and told: the engine, the relay and the consumers may end.
    pub work: CancellationToken,
}
