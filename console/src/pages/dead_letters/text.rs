//! How the content of a message is shown. It comes from outside.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use maud::{Markup, html};
use serde_json::Value;
use service_host::admin::{BodyEncoding, DeadLetterView};

/// Above so many bytes, a body is shown only in part. The whole can be downloaded.
const MAX: usize = 64 * 1024;

/// Returns the text with control characters, and those that change the direction of what follows, as escapes. Line
/// ends stay. maud escapes what has a meaning in HTML.
pub(super) fn visible(text: &str) -> String {
    let mut visible = String::with_capacity(text.len());
    for character in text.chars() {
        let turns = matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if turns || (character.is_control() && character != '\n') {
            visible.extend(character.escape_default());
        } else {
            visible.push(character);
        }
    }
    visible
}

/// Renders the body: JSON with line breaks, and as it was received.
pub(super) fn body(letter: &DeadLetterView) -> Markup {
    let (received, encoding) = match letter.body_encoding {
        BodyEncoding::Utf8 => (visible(up_to(&letter.body, MAX)), "text"),
        BodyEncoding::Base64 => {
            (bytes(&letter.body), "not text; bytes that are no ASCII are written as \\x and two digits")
        }
    };
    let pretty = (letter.body.len() <= MAX && letter.body_encoding == BodyEncoding::Utf8)
        .then(|| serde_json::from_str::<Value>(&letter.body).and_then(|json| serde_json::to_string_pretty(&json)).ok())
        .flatten();
    let is_json = pretty.is_some();
    html! {
        @if letter.body.len() > MAX {
            p.hint { "The body is large. This is its beginning; the download has all of it." }
        }
        @if let Some(pretty) = pretty { pre { (visible(&pretty)) } }
        details open[!is_json] {
            summary { "As it was received (" (encoding) ")" }
            pre { (received) }
        }
    }
}

/// Returns the beginning of the bytes, those that are no printable ASCII as `\x` and two digits.
fn bytes(base64: &str) -> String {
    // Four digits are three bytes.
    let bytes = BASE64_STANDARD.decode(up_to(base64, MAX)).unwrap_or_default();
    bytes.escape_ascii().to_string()
}

/// Returns at most `max` bytes of the text, which ends at a character.
fn up_to(text: &str, max: usize) -> &str {
    &text[..text.floor_char_boundary(max)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_cannot_deceive_its_reader() {
        assert_eq!(visible("a\u{1b}[2J\r\nü\u{202e}b\0"), "a\\u{1b}[2J\\r\nü\\u{202e}b\\u{0}");
    }

    #[test]
    fn a_part_of_a_body_ends_at_a_character() {
        assert_eq!(up_to("aüb", 2), "a");
        assert_eq!(up_to("aüb", 9), "aüb");
        assert_eq!(bytes("//5BDQ=="), "\\xff\\xfeA\\r");
    }
}
