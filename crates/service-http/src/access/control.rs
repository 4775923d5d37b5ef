use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    extract::{FromRequestParts, MatchedPath, Request, State},
    http::{HeaderMap, header, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};
use prometheus_client::registry::Registry;
use saga_message::Timestamp;
use tokio::time::Instant;

use super::{
    AdminToken, ApiKey, ApiKeys, Caller, Identity, JwtTokens, Scope,
    api_keys::KeySet,
    rate_limit::{Exceeded, Quota, RateLimit},
    refused::{Reason, RefusedRequests},
    requirements::{Requirement, Requirements},
};
use crate::{AuditLog, Problem, body};

/// How often it is checked whether a [`Session`] goes on. All sessions of a service share what was read.
const SESSION_CHECK: Duration = Duration::from_secs(2);

/// Decides who may send which request. Clones share it.
///
/// As long as there was never an API key, access is open: every request is accepted, except those to routes for
/// operators, which need the admin token. From the first key on, every route that is not public needs a key with its
/// scope, or the admin token. If there are tokens of an identity provider, they are accepted as well, and access is
/// never open. The default is open, and nobody is an operator.
#[derive(Debug, Clone, Default)]
pub struct AccessControl(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    keys: Option<ApiKeys>,
    tokens: Option<JwtTokens>,
    admin: Option<AdminToken>,
    refused: RefusedRequests,
}

impl AccessControl {
    /// Creates the access control of a service with these keys, and with the tokens of an identity provider. Without an
    /// admin token, only the scope [`Scope::Admin`] lets an operator in.
    #[must_use]
    pub fn new(keys: ApiKeys, tokens: Option<JwtTokens>, admin: Option<AdminToken>) -> Self {
        Self(Arc::new(Inner { keys: Some(keys), tokens, admin, refused: RefusedRequests::default() }))
    }

    /// Registers the metrics of refused requests.
    pub fn register(&self, registry: &mut Registry) {
        self.0.refused.register(registry);
    }

    /// Decides about a request that needs `scope`.
    ///
    /// It is refused with 401 without a valid key, with 403 if the key does not have the scope, with 429 if it has sent
    /// too many requests, and with 404 on a route for operators, if access is open and there is no admin token.
    async fn admit(&self, scope: Scope, request: &Parts) -> Admission {
        let Inner { keys, tokens, admin, refused } = &*self.0;
        let offered = bearer(&request.headers);
        if offered.zip(admin.as_ref()).is_some_and(|(offered, admin)| admin.is(offered)) {
            return Admission::unlimited(Caller::operator());
        }
        let known = match keys {
            Some(keys) => {
                Some((keys.current().await, keys.now())).filter(|(keys, _)| tokens.is_some() || !keys.is_empty())
            }
            None => None,
        };
        let mut quota = None;
        let (reason, problem) = match known {
            None if scope != Scope::Admin => return Admission::unlimited(Caller::anonymous()),
            None if admin.as_ref().is_none_or(AdminToken::is_generated) => {
                return Admission { caller: Err(Problem::admin_is_off()), quota };
            }
            None => (Reason::Unauthenticated, Problem::unauthorized()),
            Some((keys, now)) => match offered.and_then(|offered| known_caller(offered, &keys, tokens.as_ref(), now)) {
                None => (Reason::Unauthenticated, Problem::unauthorized()),
                Some((caller, _)) if !caller.may(scope) => {
                    (Reason::InsufficientScope, Problem::insufficient_scope(scope))
                }
                Some((caller, limit)) => {
                    let taken = limit.map(|limit| limit.take(Instant::now()));
                    quota = taken.map(|taken| taken.unwrap_or_else(|Exceeded(quota)| quota));
                    if !matches!(taken, Some(Err(_))) {
                        return Admission { caller: Ok(caller), quota };
                    }
                    (Reason::RateLimited, Problem::rate_limited())
                }
            },
        };
        refused.count(reason, scope, request, offered);
        Admission { caller: Err(problem), quota }
    }
}

/// Returns who has this API key or token, and its limit, if it is valid.
fn known_caller<'a>(
    offered: &[u8],
    keys: &'a KeySet,
    tokens: Option<&JwtTokens>,
    now: Timestamp,
) -> Option<(Caller, Option<&'a RateLimit>)> {
    if let Some(key) = ApiKey::parse(offered) {
        return keys.caller(&key, now).map(|(caller, limit)| (caller.clone(), limit));
    }
    let caller = tokens?.caller(offered);
    let refused = |error: &anyhow::Error| tracing::debug!(%error, "a token is not accepted");
    caller.inspect_err(refused).ok().map(|caller| (caller, None))
}

impl AccessControl {
    /// Returns whether a caller that was let in still would be: its key is valid, or it needed none and none is needed.
    async fn still_admits(&self, caller: &Caller) -> bool {
        let Some(keys) = &self.0.keys else { return true };
        let current = keys.current().await;
        match caller.identity() {
            Identity::AdminToken => true,
            Identity::Anonymous => self.0.tokens.is_none() && current.is_empty(),
            Identity::Key(id) => current.is_valid(id, keys.now()),
            Identity::Token { expires_at, .. } => keys.now().unix_micros() / 1_000_000 < *expires_at,
        }
    }
}

/// Who sends a request whose response may take long, such as a stream. A handler extracts it.
#[derive(Debug, Clone)]
pub struct Session {
    access: Option<AccessControl>,
    caller: Caller,
}

impl Session {
    /// Returns the caller.
    #[must_use]
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// Waits until the caller may no longer be here: its key has expired or was revoked, or it has none and keys are
    /// needed now. It is checked every two seconds, with keys that are at most a second old.
    pub async fn ended(self) {
        let Some(access) = self.access else { return std::future::pending().await };
        loop {
            tokio::time::sleep(SESSION_CHECK).await;
            if !access.still_admits(&self.caller).await {
                return;
            }
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Session {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        let caller = Caller::from_request_parts(parts, state).await?;
        Ok(Self { access: parts.extensions.get::<AccessControl>().cloned(), caller })
    }
}

/// The decision about a request.
struct Admission {
    /// Who sends it, or why it is refused.
    caller: Result<Caller, Problem>,
    /// What is left of the limit of its key, if that has one.
    quota: Option<Quota>,
}

impl Admission {
    fn unlimited(caller: Caller) -> Self {
        Self { caller: Ok(caller), quota: None }
    }
}

/// What the middleware needs: who may do what, and what each route needs.
#[derive(Debug, Clone)]
pub(crate) struct Guarded {
    pub(crate) access: AccessControl,
    pub(crate) requirements: Arc<Requirements>,
    pub(crate) audit: Option<AuditLog>,
}

/// Middleware that refuses a request before its body is read, or passes it on with its [`Caller`].
pub(crate) async fn authorize(
    State(Guarded { access, requirements, audit }): State<Guarded>,
    request: Request,
    next: Next,
) -> Response {
    let (mut parts, body) = request.into_parts();
    let route = parts.extensions.get::<MatchedPath>().cloned();
    let operation = requirements.of_request(route.as_ref(), &parts.method);
    let Requirement::Scope(scope) = operation.requirement else {
        // Without a caller, handlers see an anonymous one.
        return next.run(Request::from_parts(parts, body)).await;
    };
    let Admission { caller, quota } = access.admit(scope, &parts).await;
    let mut response = match caller {
        Err(problem) => {
            body::discard(&parts.headers, body).await;
            problem.into_response()
        }
        Ok(caller) => {
            parts.extensions.insert(caller.clone());
            parts.extensions.insert(access);
            let request = Request::from_parts(parts, body);
            match (audit.filter(|_| operation.is_audited), route) {
                (Some(audit), Some(route)) => audit.record(&caller, route.as_str(), request, next).await,
                _ => next.run(request).await,
            }
        }
    };
    if let Some(quota) = quota {
        quota.write_into(response.headers_mut());
    }
    response
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
