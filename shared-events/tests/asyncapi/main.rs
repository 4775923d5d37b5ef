//! The AsyncAPI document: its references lead somewhere, its examples are valid, and its schemas accept and refuse what
//! the decoder does.

#![allow(clippy::unwrap_used, reason = "tests")]

mod validator;

use std::{fs, path::Path};

use serde_json::{Value, json};
use shared_events::{Envelope, EventType, FLOWS, MAX_LINES, Money, Quantity, Service, asyncapi::document, framing};

use self::validator::Validator;

/// Returns a validator of one of the document's schemas.
fn validator(name: &str) -> Validator {
    Validator::new(document(), format!("#/components/schemas/{name}"))
}

fn golden(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap()
}

fn event(event: EventType) -> Value {
    golden(&format!("{}.v1.system.json", event.flow().routing_key))
}

fn assert_valid(validator: &Validator, instance: &Value, what: &str) {
    assert_eq!(validator.validate(instance), Ok(()), "{what}");
}

#[test]
fn every_golden_file_is_valid() {
    let any = validator("Event");
    for event in EventType::ALL {
        let of_event = validator(&event.to_string());
        for form in ["v1", "v1.system"] {
            let name = format!("{}.{form}.json", event.flow().routing_key);
            assert_valid(&of_event, &golden(&name), &name);
            assert_valid(&any, &golden(&name), &name);
        }
    }
    let batch = validator("EventBatch");
    assert_valid(&batch, &golden("batch.json"), "batch.json");
    let most = |count| Value::Array(vec![event(EventType::OrderCreated); count]);
    assert!(batch.is_valid(&most(framing::MAX_EVENTS)) && !batch.is_valid(&most(framing::MAX_EVENTS + 1)));
    assert!(!batch.is_valid(&json!([])) && !batch.is_valid(&event(EventType::OrderCreated)));
}

#[test]
fn an_event_has_only_its_own_schema() {
    for one in EventType::ALL {
        let accepted = EventType::ALL.into_iter().filter(|other| validator(&other.to_string()).is_valid(&event(one)));
        assert_eq!(accepted.collect::<Vec<_>>(), [one]);
        let batches = EventType::ALL.into_iter();
        let batches = batches.filter(|other| validator(&format!("{other}Batch")).is_valid(&json!([event(one)])));
        assert_eq!(batches.collect::<Vec<_>>(), [one]);
    }
}

/// Values to put in the place of others. The decoder refuses some of them where the schema cannot; those are not here:
/// a subject of another order, three letters that are no currency, and lines that repeat a SKU too often.
fn values(pointer: &str) -> Vec<Value> {
    let anything = [json!(null), json!([]), json!({}), json!("text"), json!(7.5), json!(true)];
    let special = match pointer {
        "/specversion" => vec![json!("1.0"), json!("0.3")],
        "/source" => ["/order", "/inventory", "/payment", "order"].map(Value::from).into(),
        "/data/order_id" => vec![json!(42), json!(0), json!(-1), json!("42")],
        "/data/lines" => vec![lines(1), lines(MAX_LINES), lines(MAX_LINES + 1)],
        "/data/lines/0/quantity" => [0, -1, 1, Quantity::MAX, Quantity::MAX + 1].map(Value::from).into(),
        "/data/lines/0/item_sku" | "/data/item_sku" => {
            let texts = ["", " ", "A\u{0}", "\u{85}", "A\n", "крупа 1 кг", " A "].map(Value::from);
            texts.into_iter().chain([json!("ü".repeat(64)), json!("ü".repeat(65))]).collect()
        }
        "/data/total/minor_units" => [0, 1, Money::MAX_MINOR_UNITS, Money::MAX_MINOR_UNITS + 1].map(Value::from).into(),
        "/data/total/currency" => ["EUR", "usd", "", "USDX"].map(Value::from).into(),
        "/data/reason" => {
            let texts = ["INSUFFICIENT_STOCK", "UNKNOWN_ITEM", "PAYMENT_DECLINED", "DEADLINE_EXCEEDED"];
            texts.into_iter().chain(["CUSTOMER", "DEADLINE", "customer", "BAD_WEATHER"]).map(Value::from).collect()
        }
        _ => Vec::new(),
    };
    anything.into_iter().chain(special).collect()
}

fn lines(count: usize) -> Value {
    (0..count).map(|n| json!({ "item_sku": format!("S{n}"), "quantity": 1 })).collect()
}

#[test]
fn a_schema_accepts_what_is_decoded_and_refuses_what_is_not() {
    let mut compared = 0;
    for one in EventType::ALL {
        let (schema, good) = (validator(&one.to_string()), event(one));
        let mut compare = |changed: &Value, what: &str| {
            let decoded = Envelope::decode(changed.to_string().as_bytes());
            assert_eq!(schema.is_valid(changed), decoded.is_ok(), "{one}, {what}: {decoded:?}");
            compared += 1;
        };
        for pointer in [
            "/specversion",
            "/id",
            "/source",
            "/type",
            "/time",
            "/correlationid",
            "/causationid",
            "/data",
            "/data/order_id",
            "/data/lines",
            "/data/lines/0",
            "/data/lines/0/quantity",
            "/data/lines/0/item_sku",
            "/data/total",
            "/data/total/minor_units",
            "/data/total/currency",
            "/data/reason",
            "/data/item_sku",
        ] {
            if good.pointer(pointer).is_none() {
                continue;
            }
            for value in values(pointer) {
                let mut changed = good.clone();
                *changed.pointer_mut(pointer).unwrap() = value.clone();
                compare(&changed, &format!("{pointer} = {value}"));
            }
            let (parent, field) = pointer.rsplit_once('/').unwrap();
            let mut without = good.clone();
            if let Some(fields) = without.pointer_mut(parent).unwrap().as_object_mut() {
                fields.remove(field).unwrap();
                compare(&without, &format!("no {pointer}"));
            }
        }
        for parent in ["", "/data", "/data/total", "/data/lines/0"] {
            let mut more = good.clone();
            let fields = more.pointer_mut(parent).unwrap().as_object_mut().unwrap();
            fields.insert("added_later".to_owned(), json!({ "nested": [1, null] }));
            compare(&more, "a field that was added later");
        }
    }
    assert!(compared > 1_500, "only {compared} were compared");
}

#[test]
fn every_example_is_valid() {
    let document = document();
    let messages = document["components"]["messages"].as_object().unwrap();
    assert_eq!(messages.len(), 2 * EventType::ALL.len());
    for (name, message) in messages {
        let schema = validator(name);
        for example in message["examples"].as_array().unwrap() {
            assert_valid(&schema, &example["payload"], name);
            let body = example["payload"].to_string();
            for event in framing::split(body.as_bytes()).unwrap() {
                Envelope::decode(event).unwrap();
            }
        }
    }
}

/// Collects what the references in `value` lead to.
fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.get("$ref").and_then(Value::as_str));
            fields.values().for_each(|value| references(value, found));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

#[test]
fn every_reference_leads_somewhere() {
    let (document, mut found) = (document(), Vec::new());
    references(&document, &mut found);
    for reference in &found {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
    assert!(found.len() > 100, "only {} references", found.len());
}

#[test]
fn the_operations_are_those_of_the_flow_table() {
    let document = document();
    let operations = document["operations"].as_object().unwrap();
    let events_of = |id: &str| -> Vec<&str> {
        let messages = operations[id]["messages"].as_array().unwrap().iter();
        let names = messages.map(|message| message["$ref"].as_str().unwrap().rsplit_once('/').unwrap().1);
        names.filter(|name| !name.ends_with("Batch")).collect()
    };
    for flow in FLOWS {
        let event = flow.event.to_string();
        assert_eq!(events_of(&format!("send.{}.events.{}", flow.publisher, flow.routing_key)), [&event]);
        for service in Service::ALL {
            let copied = format!("send.{}.deliveries.{service}", flow.publisher);
            let copied = operations.contains_key(&copied) && events_of(&copied).contains(&event.as_str());
            let received = events_of(&format!("receive.{service}")).contains(&event.as_str());
            let consumes = flow.consumers.contains(&service);
            assert_eq!((copied, received), (consumes, consumes), "{event}, {service}");
        }
    }
}
