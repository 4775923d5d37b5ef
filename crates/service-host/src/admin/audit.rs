use std::sync::Arc;

use axum::extract::{OriginalUri, State};
use saga_database::{audit_log_page, tables::audit_log};
use saga_message::Timestamp;
use serde::{Deserialize, Serialize};
use service_http::{ApiQuery, Direction, Limit, Page, Problem, access::Scope};
use utoipa::ToSchema;
use uuid::Uuid;

use super::AdminState;

/// A row of the audit log. Each action has two: one from before it is done, and one with its outcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditEntryView {
    /// Its number.
    pub entry_id: i64,
    /// The same in both rows of an action.
    pub action_id: Uuid,
    /// When it was written.
    #[schema(value_type = String, format = DateTime)]
    pub recorded_at: Timestamp,
    /// How the caller has shown who it is: `anonymous`, `admin_token`, `api_key`, `token` or `command_line`.
    #[schema(example = "api_key")]
    pub actor: String,
    /// The id of its API key, or the subject of its token, if it has sent one.
    #[schema(required, example = "0123456789abcdef")]
    pub key_id: Option<String>,
    /// The owner of that key or token.
    #[schema(required, example = "shop-a")]
    pub owner: Option<String>,
    /// The method of the request, or the command.
    #[schema(example = "POST")]
    pub method: String,
    /// The route that the request matches.
    #[schema(example = "/api/v1/stock/items")]
    pub route: String,
    /// The path of the request, at most 500 characters.
    #[schema(example = "/api/v1/stock/items")]
    pub path: String,
    /// The status of the response; null in the row from before the action. If no other row has one, the service ended
    /// before, and the action may have been done or not.
    #[schema(required, example = 201)]
    pub status: Option<i64>,
}

impl From<audit_log::Model> for AuditEntryView {
    fn from(row: audit_log::Model) -> Self {
        let audit_log::Model { entry_id, action_id, recorded_at, actor, key_id, owner, method, route, path, status } =
            row;
        let recorded_at = Timestamp::from_unix_micros(recorded_at);
        Self { entry_id, action_id, recorded_at, actor, key_id, owner, method, route, path, status }
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct List {
    #[serde(default)]
    limit: Limit,
    #[serde(default)]
    order: Direction,
    after: Option<i64>,
}

/// List the audit log
///
/// Who did what when, with which outcome: actions of operators, with stock and with money, and cancellations; two rows
/// each. `Link: …; rel="next"` leads to the next page.
#[utoipa::path(
    get, path = "/admin/audit-log", tag = "admin", security(("bearer" = [Scope::Admin])),
    params(
        ("limit" = Option<Limit>, Query),
        ("order" = Option<String>, Query, description = "`asc` (the default) or `desc`: the newest row first"),
        ("after" = Option<i64>, Query, description = "only rows behind this one in the list"),
    ),
    responses(
        (status = 200, body = [AuditEntryView]),
        (status = 404, description = "the admin endpoints are off"),
    ),
)]
pub(super) async fn audit_log(
    State(app): State<Arc<AdminState>>,
    OriginalUri(uri): OriginalUri,
    ApiQuery(List { limit, order, after }): ApiQuery<List>,
) -> Result<Page<AuditEntryView>, Problem> {
    let reader = app.database.list_reader().await?;
    let rows = audit_log_page(&*reader, after, order == Direction::Descending, limit.rows()).await?;
    Ok(Page::new(&uri, limit, rows.into_iter().map(|row| (row.entry_id, row.into())).collect()))
}
