//! Formats dead letters for a terminal. Their content comes from outside, so control characters are escaped.

use std::fmt::Write as _;

use service_host::admin::{BodyEncoding, DeadLetterSummaryView, DeadLetterView};
use shared_events::Service;

/// Maximum length of a reason in the table, in characters.
const REASON: usize = 100;

pub(super) fn head() -> String {
    line(["SERVICE", "MESSAGE", "DEAD-LETTERED AT", "ATTEMPTS", "EVENT", "ORDER", "BYTES", "REASON"])
}

pub(super) fn row(service: Service, letter: &DeadLetterSummaryView) -> String {
    let mut reason = visible(&letter.reason);
    if reason.chars().count() > REASON {
        reason = reason.chars().take(REASON).chain(['…']).collect();
    }
    // Without fractions of a second.
    let dead_lettered_at = letter.dead_lettered_at.to_string();
    let dead_lettered_at = dead_lettered_at.split('.').next().unwrap_or(&dead_lettered_at).trim_end_matches('Z');
    line([
        service.name(),
        &letter.message_id.to_string(),
        dead_lettered_at,
        &letter.attempts.to_string(),
        &visible(letter.event.as_deref().unwrap_or("-")),
        &visible(letter.subject.as_deref().unwrap_or("-")),
        &letter.size.to_string(),
        &reason,
    ])
}

pub(super) fn whole(letter: &DeadLetterView) -> String {
    let DeadLetterView { summary, body, body_encoding } = letter;
    let mut text = String::new();
    let mut field = |name: &str, value: &str| {
        let _ = writeln!(text, "{name:<10} {value}");
    };
    field("message", &summary.message_id.to_string());
    field("dead-lettered at", &summary.dead_lettered_at.to_string());
    field("attempts", &summary.attempts.to_string());
    field("event", &visible(summary.event.as_deref().unwrap_or("-")));
    field("order", &visible(summary.subject.as_deref().unwrap_or("-")));
    field("reason", &visible(&summary.reason));
    let encoding = match body_encoding {
        BodyEncoding::Utf8 => "",
        BodyEncoding::Base64 => ", not text, in base64",
    };
    field("body", &format!("{} bytes{encoding}:", summary.size));
    let _ = writeln!(text, "\n{}", visible(body));
    text
}

/// Returns the text with its control characters escaped.
pub(crate) fn visible(text: &str) -> String {
    let mut visible = String::with_capacity(text.len());
    for char in text.chars() {
        if char.is_control() {
            visible.extend(char.escape_default());
        } else {
            visible.push(char);
        }
    }
    visible
}

fn line([service, message, dead_lettered_at, attempts, event, order, bytes, reason]: [&str; 8]) -> String {
    format!(
        "{service:<9}  {message:<36}  {dead_lettered_at:<19}  {attempts:>8}  {event:<22}  {order:>8}  {bytes:>9}  {reason}\n"
    )
}

#[cfg(test)]
mod tests {
    use shared_events::Timestamp;
    use uuid::Uuid;

    use super::*;

    fn letter(reason: &str) -> DeadLetterSummaryView {
        DeadLetterSummaryView {
            message_id: Uuid::nil(),
            reason: reason.to_owned(),
            attempts: 3,
            event: None,
            subject: Some("7".to_owned()),
            dead_lettered_at: Timestamp::from_unix_micros(1_763_800_000_123_456),
            size: 10_485_760,
        }
    }

    #[test]
    fn a_row_stands_under_its_head() {
        let (head, row) = (head(), row(Service::Order, &letter("not a CloudEvent")));
        for (name, value) in [
            ("SERVICE", "order"),
            ("MESSAGE", "00000000-0000"),
            ("DEAD-LETTERED AT", "2025-11-22T08:26:40  "),
            ("EVENT", "- "),
            ("REASON", "not a CloudEvent\n"),
        ] {
            assert!(row[head.find(name).unwrap()..].starts_with(value), "{name}\n{head}{row}");
        }
        assert!(row.contains("       3 ") && row.contains("       7 ") && row.contains(" 10485760 "), "{row}");
    }

    #[test]
    fn a_message_cannot_command_the_terminal() {
        let evil = "\u{1b}[2J\r\nü\u{9b}1m\0";
        let shown = row(Service::Order, &letter(evil));
        assert!(shown.ends_with("\\u{1b}[2J\\r\\nü\\u{9b}1m\\u{0}\n"), "{shown:?}");
        let whole =
            whole(&DeadLetterView { summary: letter(evil), body: evil.to_owned(), body_encoding: BodyEncoding::Utf8 });
        assert!(whole.chars().all(|char| char == '\n' || !char.is_control()), "{whole:?}");
        assert!(row(Service::Order, &letter(&"x".repeat(1_000))).ends_with("x…\n"));
    }
}
