//! The audit log: who did which action of operators, with stock or with money, when, and with which outcome.
//!
//! An action is a request that changes something and needs a scope, unless the annotation of its route says that its
//! effect is a record by itself. It has two rows: one is durable before the action begins, the other has the status of
//! the response. If the first cannot be written, nothing is done. If the second is missing, the service ended before,
//! and the action may have been done or not.

use std::time::Duration;

use axum::{
    extract::Request,
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use saga_database::{Database, append_to_audit_log, tables::audit_log};
use tokio::time::timeout;
use tracing::Instrument as _;
use uuid::Uuid;

use crate::{
    Problem,
    access::{Caller, Identity},
    body,
};

/// How long writing a row may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How many characters of a path are kept.
const MAX_PATH: usize = 500;

/// Writes the audit log of a service. Clones share its database.
#[derive(Debug, Clone)]
pub struct AuditLog(Database);

impl AuditLog {
    /// Creates the log in the database of a service.
    #[must_use]
    pub fn new(database: Database) -> Self {
        Self(database)
    }

    /// Passes the request on and returns the response, with a row before and a row after. The action and its second row
    /// go on if the client disconnects.
    pub(crate) async fn record(&self, caller: &Caller, route: &str, request: Request, next: Next) -> Response {
        let mut row = row(caller, route, &request);
        if let Err(why) = self.append(row.clone()).await {
            tracing::warn!(why, route, "the audit log cannot be written: the request was refused");
            let (parts, body) = request.into_parts();
            body::discard(&parts.headers, body).await;
            return Problem::unavailable("the audit log cannot be written; nothing was done").into_response();
        }
        let log = self.clone();
        let action = async move {
            // In a task of its own, so that a panic has an outcome, too.
            let result = tokio::spawn(next.run(request).in_current_span()).await;
            row.status = Some(result.as_ref().map_or(500, |response| response.status().as_u16()).into());
            let (action_id, status) = (row.action_id, row.status);
            if let Err(why) = log.append(row).await {
                // The database is away, which is an error where it is noticed first.
                tracing::warn!(%action_id, status, why, "the outcome of an action is missing in the audit log");
            }
            result
        };
        match tokio::spawn(action.in_current_span()).await.and_then(|result| result) {
            Ok(response) => response,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // Only the end of the runtime cancels a task.
                Err(_) => Problem::internal().into_response(),
            },
        }
    }

    async fn append(&self, mut row: audit_log::Model) -> Result<(), String> {
        row.recorded_at = self.0.clock().now().unix_micros();
        match timeout(TIMEOUT, append_to_audit_log(&self.0.writer(), row)).await {
            Ok(appended) => appended.map_err(|error| error.to_string()),
            Err(_) => Err(format!("no answer within {TIMEOUT:?}")),
        }
    }
}

/// Returns the first row of an action.
fn row(caller: &Caller, route: &str, request: &Request) -> audit_log::Model {
    let (actor, key_id) = match caller.identity() {
        Identity::Anonymous => ("anonymous", None),
        Identity::AdminToken => ("admin_token", None),
        Identity::Key(id) => ("api_key", Some(id.to_string())),
        Identity::Token { subject, .. } => ("token", Some(subject.to_string())),
    };
    audit_log::Model {
        entry_id: 0,
        action_id: Uuid::now_v7(),
        recorded_at: 0,
        actor: actor.to_owned(),
        key_id,
        owner: Some(caller.owner_of_new().to_owned()).filter(|owner| !owner.is_empty()),
        method: request.method().to_string(),
        route: route.to_owned(),
        path: request.uri().path().chars().take(MAX_PATH).collect(),
        status: None,
    }
}
