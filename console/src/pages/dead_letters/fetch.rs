//! What the services are asked for.

use std::time::Duration;

use reqwest::Method;
use service_host::admin::{DeadLetterSummaryView, DeadLetterView, RedriveView};
use uuid::Uuid;

use super::group::Group;
use crate::client::{ClientError, ServiceClient};

/// How many dead letters of a service are read for a page.
pub(super) const SHOWN: usize = 5_000;
/// How many one request redrives or downloads. The next request takes the next ones.
pub(super) const AT_MOST: usize = 100_000;
/// How many are read with one request.
const PORTION: usize = 1_000;
/// A redrive may wait for the payment gateway.
const REDRIVE_TIMEOUT: Duration = Duration::from_secs(60);

const PATH: &str = "/admin/dead-letters";

/// Dead letters of a service, ascending by id.
#[derive(Debug)]
pub(super) struct Letters {
    pub(super) letters: Vec<DeadLetterSummaryView>,
    /// Whether these are all.
    pub(super) complete: bool,
}

/// Returns the first dead letters, about `max` of them.
pub(super) async fn letters(client: &ServiceClient, max: usize) -> Result<Letters, ClientError> {
    let (mut letters, limit) = (Vec::new(), PORTION.to_string());
    loop {
        let after = letters.last().map(|last: &DeadLetterSummaryView| last.message_id.to_string());
        let mut query = vec![("limit", limit.as_str())];
        query.extend(after.as_deref().map(|id| ("after", id)));
        let portion: Vec<DeadLetterSummaryView> = client.get(PATH, &query).await?;
        let complete = portion.len() < PORTION;
        letters.extend(portion);
        if complete || letters.len() >= max {
            return Ok(Letters { letters, complete });
        }
    }
}

/// Returns the group with this id, if there still is one.
pub(super) async fn group(client: &ServiceClient, id: &str) -> Result<Option<Group>, ClientError> {
    let groups = Group::all(client.service(), letters(client, SHOWN).await?.letters);
    Ok(groups.into_iter().find(|group| group.id() == id))
}

/// Returns one with its body, if it still exists.
pub(super) async fn letter(client: &ServiceClient, id: Uuid) -> Result<Option<DeadLetterView>, ClientError> {
    existing(client.get(&format!("{PATH}/{id}"), &[]).await)
}

/// Redrives one. `None` if it does not exist any more.
pub(super) async fn redrive(client: &ServiceClient, id: Uuid) -> Result<Option<RedriveView>, ClientError> {
    let request = client.request(Method::POST, &format!("{PATH}/{id}/redrive"), &[]).timeout(REDRIVE_TIMEOUT);
    existing(client.json(request).await)
}

/// Discards one. `None` if it did not exist any more.
pub(super) async fn discard(client: &ServiceClient, id: Uuid) -> Result<Option<()>, ClientError> {
    existing(client.succeed(client.request(Method::DELETE, &format!("{PATH}/{id}"), &[])).await.map(drop))
}

/// A service whose admin endpoints are off answers with 404 too. Its detail says so, and that is an error.
fn existing<T>(answer: Result<T, ClientError>) -> Result<Option<T>, ClientError> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(ClientError::Refused { status: 404, detail, .. }) if !detail.contains("--admin-token") => Ok(None),
        Err(error) => Err(error),
    }
}
