use base64::{Engine as _, prelude::BASE64_STANDARD};
use saga_message::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use saga_database::{DeadLetterSummary, tables::dead_letter};
use saga_runtime::Redriven;

/// A dead letter, without its body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeadLetterSummaryView {
    /// Its id, or an id derived from its body if its own cannot be read.
    pub message_id: Uuid,
    /// Why it cannot be handled.
    pub reason: String,
    /// How often it was tried.
    pub attempts: i64,
    /// The name of the event, if it can be read.
    #[schema(example = "OrderCreated")]
    pub event: Option<String>,
    /// The subject of the event, if it can be read.
    pub subject: Option<String>,
    /// When it became a dead letter.
    #[schema(value_type = String, format = DateTime)]
    pub dead_lettered_at: Timestamp,
    /// Size of its body in bytes.
    pub size: i64,
}

/// A dead letter with its body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeadLetterView {
    #[serde(flatten)]
    #[allow(missing_docs, reason = "its fields are the summary's")]
    pub summary: DeadLetterSummaryView,
    /// The message as it was received.
    pub body: String,
    /// How `body` is encoded.
    pub body_encoding: BodyEncoding,
}

/// How a body is represented in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum BodyEncoding {
    /// As text.
    #[serde(rename = "utf-8")]
    Utf8,
    /// In base64, because it is not UTF-8.
    Base64,
}

/// The result of redriving one dead letter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RedriveView {
    /// The id of the message.
    pub message_id: Uuid,
    /// Whether it was handled.
    pub outcome: RedriveOutcome,
    /// Why it is still a dead letter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The outcome of redriving a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RedriveOutcome {
    /// It was handled, and is no longer a dead letter.
    Handled,
    /// It could not be handled, and remains a dead letter with one more attempt.
    FailedAgain,
}

/// The result of redriving all dead letters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RedriveAllView {
    /// How many were handled, and are no longer dead letters.
    pub handled: u64,
    /// How many could not be handled, and remain dead letters with one more attempt.
    pub failed_again: u64,
    /// How many were not tried, because something that they need is unavailable. They remain dead letters, unchanged.
    pub postponed: u64,
    /// Whether all dead letters were processed. Otherwise the service is stopping, or something that it needs is
    /// unavailable; repeat the request later.
    pub complete: bool,
}

impl From<DeadLetterSummary> for DeadLetterSummaryView {
    fn from(letter: DeadLetterSummary) -> Self {
        let DeadLetterSummary { message_id, reason, attempts, event, subject, dead_lettered_at, size } = letter;
        let dead_lettered_at = Timestamp::from_unix_micros(dead_lettered_at);
        Self { message_id, reason, attempts, event, subject, dead_lettered_at, size }
    }
}

impl From<dead_letter::Model> for DeadLetterView {
    fn from(letter: dead_letter::Model) -> Self {
        let dead_letter::Model { message_id, reason, attempts, event, subject, body, dead_lettered_at } = letter;
        let dead_lettered_at = Timestamp::from_unix_micros(dead_lettered_at);
        let size = i64::try_from(body.len()).unwrap_or(i64::MAX);
        let summary = DeadLetterSummaryView { message_id, reason, attempts, event, subject, dead_lettered_at, size };
        let (body, body_encoding) = match String::from_utf8(body) {
            Ok(text) => (text, BodyEncoding::Utf8),
            Err(error) => (BASE64_STANDARD.encode(error.into_bytes()), BodyEncoding::Base64),
        };
        Self { summary, body, body_encoding }
    }
}

impl RedriveView {
    /// Returns `None` if there was no such dead letter.
    pub(super) fn new(message_id: Uuid, redriven: Redriven) -> Option<Self> {
        let (outcome, reason) = match redriven {
            Redriven::Handled => (RedriveOutcome::Handled, None),
            Redriven::FailedAgain { reason } => (RedriveOutcome::FailedAgain, Some(reason)),
            Redriven::Gone => return None,
        };
        Some(Self { message_id, outcome, reason })
    }
}
