/// Returns whether a text is a W3C `traceparent` (<https://www.w3.org/TR/trace-context/#traceparent-header>). An
/// invalid one is dropped, because it is no reason to refuse an event or a request.
#[must_use]
pub fn is_traceparent(text: &str) -> bool {
    let widths = [2, 32, 16, 2];
    let parts: Vec<&str> = text.split('-').collect();
    let hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    parts.len() == widths.len()
        && parts.iter().zip(widths).all(|(part, width)| part.len() == width && part.bytes().all(hex))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_traceparent_is_passed_on() {
        assert!(is_traceparent("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"));
        for text in ["", "00-4bf9-00f0-01", "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01", "a\"b"] {
            assert!(!is_traceparent(text), "{text}");
        }
    }
}
