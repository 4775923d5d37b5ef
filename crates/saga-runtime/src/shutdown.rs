use tokio_util::sync::CancellationToken;

/// The stages of an orderly shutdown. Each token is cancelled once, in this order.
#[derive(Debug, Clone, Default)]
pub struct ShutdownStages {
    /// Stop accepting work from outside: connections, requests and ticks.
    pub intake: CancellationToken,
    /// All accepted work is finished and answered, so the engine, the relay and the consumers may end.
    pub work: CancellationToken,
}
