use base64::{Engine as _, prelude::BASE64_STANDARD};
use saga_message::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use saga_database::{DeadLetterSummary, tables::dead_letter};
use saga_runtime::Redriven;

/// A parked message, without its body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeadLetterSummaryView {
    /// Its id, or one made from its body where it has none that can be read.
    pub message_id: Uuid,
    /// Why it cannot be handled.
    pub reason: String,
    /// How often it was tried.
    pub attempts: i64,
    /// The name of the event, where it can be read.
    #[schema(example = "OrderCreated")]
    pub event: Option<String>,
    /// What it is about, where it can be read.
    pub subject: Option<String>,
    /// When it was parked.
    #[schema(value_type = String, format = DateTime)]
    pub parked_at: Timestamp,
    /// How large its body is, in bytes.
    pub size: i64,
}

/// A parked message, whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeadLetterView {
    #[serde(flatten)]
    #[allow(missing_docs, reason = "its fields are the summary's")]
    pub summary: DeadLetterSummaryView,
    /// The message as it came.
    pub body: String,
    /// How `body` is to be read.
    pub body_encoding: BodyEncoding,
}

/// How a body stands in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum BodyEncoding {
    /// As it is.
    #[serde(rename = "utf-8")]
    Utf8,
    /// It is no text, and stands there in base64.
    Base64,
}

/// What became of a parked message that was driven again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RedriveView {
    /// Which message.
    pub message_id: Uuid,
    /// What became of it.
    pub outcome: RedriveOutcome,
    /// Why it is parked again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Whether a message that was driven again is handled now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RedriveOutcome {
    /// It is, and parked no longer.
    Handled,
    /// It is not, and stays parked with one attempt more.
    ParkedAgain,
}

/// What became of all parked messages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RedriveAllView {
    /// So many are handled, and parked no longer.
    pub handled: u64,
    /// So many cannot be handled, and stay parked with one attempt more.
    pub parked_again: u64,
    /// So many were not tried, because something that they need is away. They stay parked as they were.
    pub postponed: u64,
    /// Whether all were looked at. Otherwise the service is stopping, or what it needs is away: ask again later.
    pub complete: bool,
}

impl From<DeadLetterSummary> for DeadLetterSummaryView {
    fn from(letter: DeadLetterSummary) -> Self {
        let DeadLetterSummary { message_id, reason, attempts, event, subject, parked_at, size } = letter;
        let parked_at = Timestamp::from_unix_micros(parked_at);
        Self { message_id, reason, attempts, event, subject, parked_at, size }
    }
}

impl From<dead_letter::Model> for DeadLetterView {
    fn from(letter: dead_letter::Model) -> Self {
        let dead_letter::Model { message_id, reason, attempts, event, subject, body, parked_at } = letter;
        let parked_at = Timestamp::from_unix_micros(parked_at);
        let size = i64::try_from(body.len()).unwrap_or(i64::MAX);
        let summary = DeadLetterSummaryView { message_id, reason, attempts, event, subject, parked_at, size };
        let (body, body_encoding) = match String::from_utf8(body) {
            Ok(text) => (text, BodyEncoding::Utf8),
            Err(error) => (BASE64_STANDARD.encode(error.into_bytes()), BodyEncoding::Base64),
        };
        Self { summary, body, body_encoding }
    }
}

impl RedriveView {
    /// `None` where the message is not parked.
    pub(super) fn new(message_id: Uuid, redriven: Redriven) -> Option<Self> {
        let (outcome, reason) = match redriven {
            Redriven::Handled => (RedriveOutcome::Handled, None),
            Redriven::ParkedAgain { reason } => (RedriveOutcome::ParkedAgain, Some(reason)),
            Redriven::Gone => return None,
        };
        Some(Self { message_id, outcome, reason })
    }
}
