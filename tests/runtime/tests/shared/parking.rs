//! A parked message, and the operator who drives it again.

use saga_database::{Database, Writes, tables::dead_letter};
use serde_json::Value;
use shared_events::Envelope;

/// A message is parked at the service, as it came; returns what driving it again answers.
pub(crate) async fn park_and_drive(
    database: &Database,
    client: &reqwest::Client,
    url: &str,
    message: &Envelope,
) -> Value {
    let row = dead_letter::Model {
        message_id: message.header.id.0,
        reason: "parked by the test".to_owned(),
        attempts: 1,
        event: None,
        subject: None,
        body: message.encode().into_bytes(),
        parked_at: 0,
    };
    let transaction = database.begin().await.unwrap();
    Writes::default().insert::<dead_letter::Entity>(&[row]).run(&transaction).await.unwrap();
    transaction.commit().await.unwrap();
    let url = format!("{url}/admin/dead-letters/{}/redrive", message.header.id);
    let response = client.post(url).bearer_auth("the-operators-token").send().await.unwrap();
    response.json().await.unwrap()
}
