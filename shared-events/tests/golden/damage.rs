//! Decoding never panics, whatever the input.

use proptest::{prelude::*, sample::Index};
use serde_json::Value;
use shared_events::{Envelope, EventType};

use super::golden;

/// One change at a random position of a text.
#[derive(Debug, Clone)]
enum Mutation {
    Replace(Index, u8),
    Insert(Index, Vec<u8>),
    Remove(Index),
    Truncate(Index),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    // Half of the bytes are those with a meaning in JSON.
    let byte = || prop_oneof![any::<u8>(), prop::sample::select(br#"{}[]",:\0-.eEtfnu"#.to_vec())];
    prop_oneof![
        (any::<Index>(), byte()).prop_map(|(at, byte)| Mutation::Replace(at, byte)),
        (any::<Index>(), prop::collection::vec(byte(), 1..8)).prop_map(|(at, bytes)| Mutation::Insert(at, bytes)),
        any::<Index>().prop_map(Mutation::Remove),
        any::<Index>().prop_map(Mutation::Truncate),
    ]
}

fn mutate(text: &mut Vec<u8>, mutation: Mutation) {
    if text.is_empty() {
        return;
    }
    match mutation {
        Mutation::Replace(at, byte) => *at.get_mut(text) = byte,
        Mutation::Insert(at, bytes) => {
            let at = at.index(text.len());
            text.splice(at..at, bytes);
        }
        Mutation::Remove(at) => {
            text.remove(at.index(text.len()));
        }
        Mutation::Truncate(at) => text.truncate(at.index(text.len())),
    }
}

/// Generates JSON values of every kind, including unusual ones.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map("[a-z_]{0,8}", inner, 0..4).prop_map(|fields| fields.into_iter().collect()),
        ]
    })
}

/// Collects the pointers to all values in `json`, including `json` itself.
fn pointers(json: &Value, here: &str, found: &mut Vec<String>) {
    found.push(here.to_owned());
    match json {
        Value::Object(fields) => {
            fields.iter().for_each(|(key, value)| pointers(value, &format!("{here}/{key}"), found))
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(n, value)| pointers(value, &format!("{here}/{n}"), found));
        }
        _ => {}
    }
}

proptest! {
    #[test]
    fn decoding_arbitrary_bytes_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
        let _ = Envelope::decode(&bytes);
    }

    #[test]
    fn decoding_a_damaged_event_never_panics(
        event in prop::sample::select(EventType::ALL.to_vec()),
        mutations in prop::collection::vec(mutation(), 1..8),
    ) {
        let mut text = golden(event).into_bytes();
        mutations.into_iter().for_each(|mutation| mutate(&mut text, mutation));
        let _ = Envelope::decode(&text);
    }

    /// Well-formed JSON gets past the parser, so this tests more of the decoding than damaged bytes do.
    #[test]
    fn decoding_an_event_with_a_strange_value_never_panics(
        event in prop::sample::select(EventType::ALL.to_vec()),
        at in any::<Index>(),
        value in any_json(),
    ) {
        let mut json: Value = serde_json::from_str(&golden(event)).unwrap();
        let mut all = Vec::new();
        pointers(&json, "", &mut all);
        *json.pointer_mut(&all[at.index(all.len())]).expect("it was just found") = value;
        let _ = Envelope::decode(json.to_string().as_bytes());
    }
}
