//! How events become messages. An event alone is the message; several are a JSON array of events, the batch form of
//! CloudEvents
//! (<https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md#4-json-batch-format>).

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{Error as _, SeqAccess, Visitor},
};
use serde_json::value::RawValue;
use sha1::{Digest as _, Sha1};
use uuid::{Builder, Uuid};

use crate::MessageId;

/// The most events in one message.
pub const MAX_EVENTS: usize = 128;
/// The largest body of a message with several events, in bytes. A single event may be larger. It keeps a full prefetch
/// small.
pub const MAX_BYTES: usize = 64 * 1024;

/// A body that begins like an array of events, and is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an array of events in JSON: {0}")]
pub struct NotABatch(String);

/// Returns the body of a message with these events, of which there is at least one. Each is a JSON object.
#[must_use]
pub fn join(events: &[String]) -> String {
    match events {
        [event] => event.clone(),
        events => format!("[{}]", events.join(",")),
    }
}

/// Returns whether a body is in the form for several events.
#[must_use]
pub fn is_batch(body: &[u8]) -> bool {
    body.trim_ascii_start().starts_with(b"[")
}

/// Returns the events in the body of a message, as they are in it. A body in the form for a single event is returned
/// whole, whatever it contains.
///
/// # Errors
/// If the body begins like an array, and is not a JSON array of one to [`MAX_EVENTS`] elements.
pub fn split(body: &[u8]) -> Result<Vec<&[u8]>, NotABatch> {
    if !is_batch(body) {
        return Ok(vec![body]);
    }
    let Elements(events) = serde_json::from_slice(body).map_err(|error| NotABatch(error.to_string()))?;
    if events.is_empty() {
        return Err(NotABatch("it is empty".to_owned()));
    }
    Ok(events.into_iter().map(|event| event.get().as_bytes()).collect())
}

/// The elements of a JSON array, at most [`MAX_EVENTS`]: a small body can have millions.
#[derive(Deserialize)]
struct Elements<'a>(#[serde(borrow, deserialize_with = "elements")] Vec<&'a RawValue>);

fn elements<'de, D: Deserializer<'de>>(array: D) -> Result<Vec<&'de RawValue>, D::Error> {
    struct Bounded;

    impl<'de> Visitor<'de> for Bounded {
        type Value = Vec<&'de RawValue>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an array")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Self::Value, A::Error> {
            let mut elements = Vec::new();
            while let Some(element) = array.next_element()? {
                if elements.len() == MAX_EVENTS {
                    return Err(A::Error::custom(format_args!("more than {MAX_EVENTS} elements")));
                }
                elements.push(element);
            }
            Ok(elements)
        }
    }

    array.deserialize_seq(Bounded)
}

/// Returns the id of a message in the form for several events, whose first event is `first`. It is not the id of one of
/// them, because an event may later be handled alone. It depends on nothing but the body, and grows with time like the
/// id of an event. (A message in the form for a single event has the id of its event.)
#[must_use]
pub fn batch_id(body: &[u8], first: &[u8]) -> MessageId {
    #[derive(Deserialize)]
    struct WithId {
        id: Uuid,
    }
    let first = serde_json::from_slice(first).map_or(Uuid::nil(), |WithId { id }| id);
    // The same as that of a UUIDv5, and faster.
    let hash = Sha1::new().chain_update(Uuid::NAMESPACE_OID).chain_update(body).finalize();
    // A UUIDv7 begins with 48 bits of time.
    let mut bytes = first.into_bytes();
    bytes[6..].copy_from_slice(&hash[6..16]);
    MessageId(Builder::from_custom_bytes(bytes).with_version(uuid::Version::SortRand).into_uuid())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(body: &str) -> Vec<&str> {
        split(body.as_bytes()).unwrap().into_iter().map(|event| std::str::from_utf8(event).unwrap()).collect()
    }

    #[test]
    fn what_is_joined_can_be_split() {
        let events = [r#"{"a":[1]}"#.to_owned(), r#"{"b":"],["}"#.to_owned()];
        assert_eq!(texts(&join(&events)), events);
        assert_eq!(join(&events[..1]), events[0], "an event alone is the message");
        assert_eq!(texts(&events[0]), [&events[0]]);
        assert_eq!(texts(" [ {\"a\" : 1} ,\n{} ] "), [r#"{"a" : 1}"#, "{}"], "each event keeps its text");
    }

    #[test]
    fn what_is_no_array_of_events_is_refused() {
        for body in ["[", "[]", "[{}", "[{},]", "[{}] {}"] {
            assert!(split(body.as_bytes()).is_err(), "{body}");
        }
        assert!(split(&[b'[', 0xff, b']']).is_err());
        let most = vec!["{}".to_owned(); MAX_EVENTS];
        assert_eq!(texts(&join(&most)).len(), MAX_EVENTS);
        assert!(split(join(&[most, vec!["{}".to_owned()]].concat()).as_bytes()).is_err());
        assert_eq!(split(b"no JSON").unwrap(), [b"no JSON"], "that is for the decoder of the event to refuse");
        assert_eq!(split(b"").unwrap(), [b""]);
    }

    #[test]
    fn a_batch_has_an_id_of_its_own_that_grows_with_time() {
        let now = Uuid::now_v7();
        let first = format!(r#"{{"id":"{now}","type":"unknown to this version"}}"#);
        let body = format!("[{first},{{}}]");
        let id = batch_id(body.as_bytes(), first.as_bytes());
        assert_eq!(batch_id(body.as_bytes(), first.as_bytes()), id);
        assert_ne!(batch_id(format!("[{first},{{ }}]").as_bytes(), first.as_bytes()), id);
        assert_ne!(id.0, now);
        assert_eq!(id.0.get_version_num(), 7);
        let time = |id: Uuid| id.get_timestamp().map(|made| made.to_unix().0);
        assert_eq!(time(id.0), time(now));
        assert_eq!(batch_id(b"[1]", b"1").0.get_version_num(), 7, "whatever its events are");
    }
}
