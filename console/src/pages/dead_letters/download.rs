//! Dead letters as JSON, with their bodies.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Path, State},
    http::header,
    response::{IntoResponse as _, Response, Result},
};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use uuid::Uuid;

use super::{PAGE, client, failed, fetch, gone, named, named_group};
use crate::{
    client::{ClientError, ServiceClient},
    state::AppState,
};

/// How many bodies are read ahead.
const AHEAD: usize = 4;

pub(super) async fn one(State(app): State<Arc<AppState>>, Path(path): Path<(String, String)>) -> Response {
    let Some((client, id)) = named(&app, &path) else { return gone(&app) };
    match fetch::letter(client, id).await {
        Ok(Some(letter)) => {
            let json = serde_json::to_string_pretty(&letter).unwrap_or_default();
            file(&format!("dead-letter-{id}"), Body::from(json))
        }
        Ok(None) => gone(&app),
        Err(error) => failed(&app, client, &error, PAGE.path),
    }
}

pub(super) async fn group(State(app): State<Arc<AppState>>, Path(path): Path<(String, String)>) -> Result<Response> {
    let (client, group) = named_group(&app, &path).await?;
    let ids = group.letters.iter().map(|letter| letter.message_id).collect();
    Ok(file(&format!("dead-letters-{}-{}", client.service(), group.id()), many(client, ids)))
}

pub(super) async fn all(State(app): State<Arc<AppState>>, Path(service): Path<String>) -> Response {
    let Some(client) = client(&app, &service) else { return gone(&app) };
    match fetch::letters(client, fetch::AT_MOST).await {
        Ok(letters) => {
            let ids = letters.letters.iter().map(|letter| letter.message_id).collect();
            file(&format!("dead-letters-{service}"), many(client, ids))
        }
        Err(error) => failed(&app, client, &error, PAGE.path),
    }
}

/// Returns an array with the dead letters that still exist, while they are read one by one. If the service fails
/// meanwhile, the download breaks off.
fn many(client: &ServiceClient, ids: Vec<Uuid>) -> Body {
    let client = client.clone();
    let letters = stream::iter(ids)
        .map(move |id| {
            let client = client.clone();
            async move { fetch::letter(&client, id).await }
        })
        .buffered(AHEAD)
        .try_filter_map(async |letter| Ok(letter.and_then(|letter| serde_json::to_string(&letter).ok())));
    let lines = letters
        .enumerate()
        .map(|(index, letter)| letter.map(|letter| format!("{}{letter}", if index == 0 { "" } else { ",\n" })));
    let text = |text: &str| stream::iter([Ok::<_, ClientError>(text.to_owned())]);
    Body::from_stream(text("[\n").chain(lines).chain(text("\n]\n")))
}

fn file(name: &str, body: Body) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "application/json".to_owned()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}.json\"")),
    ];
    (headers, body).into_response()
}
