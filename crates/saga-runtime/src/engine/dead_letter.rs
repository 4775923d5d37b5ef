use std::fmt;

use saga_database::tables::dead_letter;
use saga_message::Message;
use uuid::Uuid;

use super::pending::Raw;

/// The maximum length of a stored reason, in characters.
const MAX_REASON_CHARS: usize = 1_000;
/// The maximum length of the broker's message id in a reason, in characters.
const MAX_ID_CHARS: usize = 100;

/// Truncates a reason, which may quote the message, and replaces NUL, which PostgreSQL's text cannot contain.
pub(super) fn bounded(reason: &str) -> String {
    clipped(reason, MAX_REASON_CHARS)
}

fn clipped(text: &str, chars: usize) -> String {
    text.chars().take(chars).map(|char| if char == '\0' { '\u{fffd}' } else { char }).collect()
}

/// Appends the broker's message id to the reason, because the sender's log may contain it.
fn with_message_id(reason: &str, id: &str) -> String {
    with_suffix(reason, &format!("{MESSAGE_ID}{})", clipped(id, MAX_ID_CHARS)))
}

/// Returns why a dead letter still cannot be decoded, with the broker's message id from the previous reason.
pub(super) fn still_unreadable(error: &impl fmt::Display, reason_before: &str) -> String {
    let suffix = reason_before.rfind(MESSAGE_ID).map_or("", |start| &reason_before[start..]);
    with_suffix(&error.to_string(), suffix)
}

const MESSAGE_ID: &str = " (message_id ";

fn with_suffix(reason: &str, suffix: &str) -> String {
    clipped(reason, MAX_REASON_CHARS.saturating_sub(suffix.chars().count())) + suffix
}

/// Returns the dead letter of an event, or of a message that cannot be taken apart into its events.
pub(super) fn dead_letter<M: Message>(raw: &Raw, body: &[u8], message: Option<&M>, reason: &str) -> dead_letter::Model {
    let known_id = message.map(|message| message.header().id.0);
    let row = dead_letter::Model {
        // Redeliveries of one body must become one row. Different bodies must become different rows, whatever message
        // id the broker has for them: a sender of undecodable messages may reuse an id.
        message_id: known_id.unwrap_or_else(|| Uuid::new_v5(&Uuid::NAMESPACE_OID, body)),
        reason: match &raw.message_id {
            Some(id) if message.is_none() => with_message_id(reason, id),
            _ => bounded(reason),
        },
        attempts: i64::from(raw.redeliveries) + 1,
        event: message.map(Message::event_name),
        subject: message.map(Message::subject),
        body: body.to_vec(),
        dead_lettered_at: raw.received_at.unix_micros(),
    };
    tracing::warn!(
        message.id = %row.message_id, event = row.event, subject = row.subject, reason = row.reason,
        "an event cannot be handled and is dead-lettered"
    );
    row
}
