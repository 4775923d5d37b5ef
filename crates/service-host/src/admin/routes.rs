use std::sync::Arc;

use axum::{
    Json,
    extract::{OriginalUri, State},
    http::StatusCode,
};
use serde::Deserialize;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{AdminState, DeadLetterSummaryView, DeadLetterView, RedriveAllView, RedriveView};
use saga_database::{dead_letter, dead_letters};
use service_http::{ApiPath, ApiQuery, Limit, Page, Problem, access::Scope};

/// Returns the routes of the admin API.
pub(crate) fn routes(app: AdminState) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(redrive_all))
        .routes(routes!(show, discard))
        .routes(routes!(redrive))
        .routes(routes!(super::audit::audit_log))
        .with_state(Arc::new(app))
}

const UNKNOWN: &str = "there is no such dead letter";

#[derive(Debug, Deserialize)]
struct List {
    #[serde(default)]
    limit: Limit,
    after: Option<Uuid>,
}

/// List the dead letters
///
/// The messages that this service cannot handle, without their bodies, ordered by id, one page at a time.
/// `Link: …; rel="next"` leads to the next page.
#[utoipa::path(
    get, operation_id = "list_dead_letters", path = "/admin/dead-letters",
    tag = "admin", security(("bearer" = [Scope::Admin])),
    params(
        ("limit" = Option<Limit>, Query),
        ("after" = Option<Uuid>, Query, description = "only messages with a greater id"),
    ),
    responses(
        (status = 200, body = [DeadLetterSummaryView]),
        (status = 404, description = "the admin endpoints are off"),
    ),
)]
async fn list(
    State(app): State<Arc<AdminState>>,
    OriginalUri(uri): OriginalUri,
    ApiQuery(List { limit, after }): ApiQuery<List>,
) -> Result<Page<DeadLetterSummaryView>, Problem> {
    let letters = dead_letters(&app.database, after, limit.rows()).await?;
    let views = letters.into_iter().map(|letter| (letter.message_id, letter.into())).collect();
    Ok(Page::new(&uri, limit, views))
}

/// Show a dead letter
///
/// With its body, as text or, if it is not UTF-8, in base64.
#[utoipa::path(
    get, operation_id = "show_dead_letter", path = "/admin/dead-letters/{message_id}",
    tag = "admin", security(("bearer" = [Scope::Admin])),
    params(("message_id" = Uuid, Path)),
    responses(
        (status = 200, body = DeadLetterView),
        (status = 404, description = "there is no such dead letter, or the admin endpoints are off"),
    ),
)]
async fn show(
    State(app): State<Arc<AdminState>>,
    ApiPath(message_id): ApiPath<Uuid>,
) -> Result<Json<DeadLetterView>, Problem> {
    let letter = dead_letter(&app.database, message_id).await?;
    letter.map(|letter| Json(letter.into())).ok_or_else(|| Problem::not_found(UNKNOWN))
}

/// Redrive a dead letter
///
/// The message is handled as if it had just been delivered. If that succeeds, its effects and its removal from the dead
/// letters are durable before the response is sent. If it fails, the message remains a dead letter. Safe to repeat.
#[utoipa::path(
    post, path = "/admin/dead-letters/{message_id}/redrive", tag = "admin", security(("bearer" = [Scope::Admin])),
    params(("message_id" = Uuid, Path)),
    responses(
        (status = 200, body = RedriveView),
        (status = 404, description = "there is no such dead letter, or the admin endpoints are off"),
        (status = 503, description = "something that it needs is unavailable; the dead letter is unchanged"),
    ),
)]
async fn redrive(
    State(app): State<Arc<AdminState>>,
    ApiPath(message_id): ApiPath<Uuid>,
) -> Result<Json<RedriveView>, Problem> {
    let redriven = app.redrive(message_id).await?;
    RedriveView::new(message_id, redriven).map(Json).ok_or_else(|| Problem::not_found(UNKNOWN))
}

/// Redrive all dead letters
///
/// Redrives the current dead letters; the response is sent when all are done. Safe to repeat.
#[utoipa::path(
    post, path = "/admin/dead-letters/redrive", tag = "admin", security(("bearer" = [Scope::Admin])),
    responses(
        (status = 200, body = RedriveAllView),
        (status = 404, description = "the admin endpoints are off"),
        (status = 503, description = "the database is unavailable"),
    ),
)]
async fn redrive_all(State(app): State<Arc<AdminState>>) -> Result<Json<RedriveAllView>, Problem> {
    Ok(Json(app.redrive_all().await?))
}

/// Discard a dead letter
///
/// The message is deleted and will never be handled.
#[utoipa::path(
    delete, path = "/admin/dead-letters/{message_id}", tag = "admin", security(("bearer" = [Scope::Admin])),
    params(("message_id" = Uuid, Path)),
    responses(
        (status = 204, description = "discarded"),
        (status = 404, description = "there is no such dead letter, or the admin endpoints are off"),
        (status = 503, description = "the database is unavailable"),
    ),
)]
async fn discard(
    State(app): State<Arc<AdminState>>,
    ApiPath(message_id): ApiPath<Uuid>,
) -> Result<StatusCode, Problem> {
    let was_there = app.messages.discard(message_id).await?;
    if was_there { Ok(StatusCode::NO_CONTENT) } else { Err(Problem::not_found(UNKNOWN)) }
}
