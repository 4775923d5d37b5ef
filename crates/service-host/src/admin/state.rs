use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};

use async_trait::async_trait;
use axum::{
    extract::{ConnectInfo, Request, State},
    http::{HeaderMap, header},
    middleware::Next,
    response::Response,
};
use prometheus_client::metrics::counter::Counter;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::AdminToken;
use saga_database::{Database, tables::dead_letter};
use saga_runtime::{Mailbox, Participant, Redriven, Refusal};
use saga_support::LogLimit;
use service_http::Problem;

/// The commands on dead letters. The engine's mailbox implements them, for any participant.
#[async_trait]
pub trait DeadLetterCommands: Send + Sync + fmt::Debug {
    /// See [`Mailbox::redrive`].
    async fn redrive(&self, letter: &dead_letter::Model) -> Result<Redriven, Refusal>;

    /// See [`Mailbox::discard`].
    async fn discard(&self, message_id: Uuid) -> Result<bool, Refusal>;
}

#[async_trait]
impl<P: Participant> DeadLetterCommands for Mailbox<P> {
    async fn redrive(&self, letter: &dead_letter::Model) -> Result<Redriven, Refusal> {
        self.redrive(letter).await
    }

    async fn discard(&self, message_id: Uuid) -> Result<bool, Refusal> {
        self.discard(message_id).await
    }
}

/// What the admin endpoints need.
#[derive(Debug, Clone)]
pub struct AdminState {
    /// Used for reading.
    pub(crate) database: Database,
    /// Used for everything else.
    pub(crate) messages: Arc<dyn DeadLetterCommands>,
    /// The token that requests must have. `None` turns the endpoints off.
    pub(crate) token: Option<AdminToken>,
    /// Cancelled when the service begins to stop.
    pub(crate) stopping: CancellationToken,
    /// The requests that were refused.
    pub(crate) refused: Arc<RefusedRequests>,
}

/// Counts the requests without a valid token, and logs at most one per second.
#[derive(Debug)]
pub(crate) struct RefusedRequests {
    pub(crate) counter: Counter,
    log: LogLimit,
}

impl Default for RefusedRequests {
    fn default() -> Self {
        Self { counter: Counter::default(), log: LogLimit::new(Duration::from_secs(1)) }
    }
}

impl RefusedRequests {
    fn count(&self, path: &str, peer: Option<SocketAddr>) {
        self.counter.inc();
        if let Some(not_logged_before) = self.log.admit() {
            let peer = peer.map(|peer| peer.to_string());
            tracing::warn!(path, peer, not_logged_before, "a request to the admin endpoints had no valid token");
        }
    }
}

/// The problem detail if no token is configured.
const OFF: &str = "the admin endpoints are off: start the service with --admin-token (ADMIN_TOKEN) or \
                   --admin-token-file (ADMIN_TOKEN_FILE) to turn them on";

/// Middleware that refuses requests without the token.
pub(super) async fn authorize(
    State(app): State<Arc<AdminState>>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let Some(token) = &app.token else { return Err(Problem::not_found(OFF)) };
    if !bearer(request.headers()).is_some_and(|offered| token.is(offered)) {
        if token.is_generated() {
            return Err(Problem::not_found(OFF));
        }
        let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| *peer);
        app.refused.count(request.uri().path(), peer);
        return Err(Problem::unauthorized());
    }
    Ok(next.run(request).await)
}

/// Returns the token of `Authorization: Bearer …`. The case of the scheme does not matter (RFC 9110, 11.1). `None` if
/// there is more than one such header.
fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let mut all = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(only), None) = (all.next(), all.next()) else { return None };
    let (scheme, token) = only.as_bytes().split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| token.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_one_bearer_token_is_accepted() {
        let of = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::AUTHORIZATION, value.parse().unwrap());
            }
            bearer(&headers).map(<[u8]>::to_vec)
        };
        for (values, token) in [
            (&["Bearer abc"][..], Some(&b"abc"[..])),
            (&["bearer  abc "], Some(b"abc")),
            (&["Bearer "], Some(b"")),
            (&["Bearer"], None),
            (&["Basic abc"], None),
            (&["abc"], None),
            (&[], None),
            (&["Bearer abc", "Bearer abc"], None),
        ] {
            assert_eq!(of(values).as_deref(), token, "{values:?}");
        }
    }
}
