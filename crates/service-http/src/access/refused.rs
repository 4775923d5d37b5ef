use std::{net::SocketAddr, time::Duration};

use axum::{extract::ConnectInfo, http::request::Parts};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};
use saga_support::LogLimit;

use super::{ApiKey, Scope};

/// Counts the requests that access control refuses, and logs at most one per second.
#[derive(Debug)]
pub(super) struct RefusedRequests {
    by_reason: Family<Refused, Counter>,
    /// Those to routes for operators, whose caller was not known.
    admin: Counter,
    log: LogLimit,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Refused {
    reason: &'static str,
}

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    /// It has no key that is accepted.
    Unauthenticated,
    /// Its key does not have the scope.
    InsufficientScope,
    /// Its key has sent too many.
    RateLimited,
}

impl Default for RefusedRequests {
    fn default() -> Self {
        let log = LogLimit::new(Duration::from_secs(1));
        Self { by_reason: Family::default(), admin: Counter::default(), log }
    }
}

impl RefusedRequests {
    pub(super) fn register(&self, registry: &mut Registry) {
        let help = "Requests that were refused because of their key, by reason";
        registry.register("access_refused", help, self.by_reason.clone());
        let help = "Requests to the admin endpoints that had no valid token or key";
        registry.register("admin_refused", help, self.admin.clone());
    }

    pub(super) fn count(&self, reason: Reason, needed: Scope, request: &Parts, offered: Option<&[u8]>) {
        let label = match reason {
            Reason::Unauthenticated => "unauthenticated",
            Reason::InsufficientScope => "insufficient_scope",
            Reason::RateLimited => "rate_limited",
        };
        self.by_reason.get_or_create(&Refused { reason: label }).inc();
        if (reason, needed) == (Reason::Unauthenticated, Scope::Admin) {
            self.admin.inc();
        }
        if let Some(not_logged_before) = self.log.admit() {
            let peer = request.extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| peer.to_string());
            let (path, key_id) = (request.uri.path(), offered.and_then(ApiKey::parse).map(|key| key.id()));
            tracing::warn!(reason = label, path, peer, key_id, %needed, not_logged_before, "a request was refused");
        }
    }
}
