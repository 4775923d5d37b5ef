//! `rabbitmq/definitions.json` and the AsyncAPI document say the same as the flow table and as the services would
//! declare by themselves.

#![allow(clippy::unwrap_used, reason = "a test that unwraps fails where it should")]

use std::collections::{BTreeMap, BTreeSet};

use saga_rabbitmq::topology::{Argument, DEAD_LETTER_EXCHANGE, ExchangeType, Topology, dead_letter_queue, queue};
use serde_json::{Value, json};
use shared_events::{Service, asyncapi};

const VHOST: &str = "orders";

fn definitions() -> Value {
    serde_json::from_str(include_str!("../../../rabbitmq/definitions.json")).unwrap()
}

/// The rows of a section, as a set of texts: their order does not count.
fn rows(section: &str) -> BTreeSet<String> {
    let rows = definitions()[section].as_array().unwrap().iter().map(Value::to_string).collect::<Vec<_>>();
    let set: BTreeSet<String> = rows.iter().cloned().collect();
    assert_eq!(set.len(), rows.len(), "{section} says something twice");
    set
}

fn texts(rows: impl IntoIterator<Item = Value>) -> BTreeSet<String> {
    rows.into_iter().map(|row| row.to_string()).collect()
}

fn topologies() -> impl Iterator<Item = Topology> {
    Service::ALL
        .into_iter()
        .flat_map(|service| [Topology::to_publish(&service.spec()), Topology::to_consume(&service.spec())])
}

#[test]
fn its_exchanges_are_those_of_the_services() {
    let expected = topologies().flat_map(|topology| topology.exchanges).map(|exchange| {
        let kind = match exchange.kind {
            ExchangeType::Direct => "direct",
            ExchangeType::Topic => "topic",
        };
        json!({
            "name": exchange.name, "vhost": VHOST, "type": kind, "durable": true, "auto_delete": false,
            "internal": false, "arguments": {},
        })
    });
    assert_eq!(rows("exchanges"), texts(expected));
}

#[test]
fn its_queues_are_those_of_the_services() {
    let expected = topologies().flat_map(|topology| topology.queues).map(|queue| {
        let arguments: BTreeMap<&str, Value> = queue
            .arguments
            .into_iter()
            .map(|(name, value)| match value {
                Argument::Text(text) => (name, json!(text)),
                Argument::Number(number) => (name, json!(number)),
            })
            .collect();
        json!({ "name": queue.name, "vhost": VHOST, "durable": true, "auto_delete": false, "arguments": arguments })
    });
    assert_eq!(rows("queues"), texts(expected));
}

#[test]
fn its_bindings_are_those_of_the_services() {
    let expected = topologies().flat_map(|topology| topology.bindings).map(|binding| {
        json!({
            "source": binding.exchange, "vhost": VHOST, "destination": binding.queue, "destination_type": "queue",
            "routing_key": binding.routing_key, "arguments": {},
        })
    });
    assert_eq!(rows("bindings"), texts(expected));
}

#[test]
fn each_service_has_a_user_with_the_least_rights() {
    let services = Service::ALL.into_iter().map(|service| {
        let name = queue(service.name());
        json!({
            "user": name, "vhost": VHOST, "configure": "^$",
            "write": format!("^{name}\\.(deliveries|events)$"),
            "read": format!("^{name}({})?$", dead_letter_queue(service.name())[name.len()..].replace('.', "\\.")),
        })
    });
    let operator = json!({
        "user": "operator", "vhost": VHOST, "configure": "^$", "write": "^$",
        "read": "^(order|inventory|payment)\\.dead-letters$",
    });
    assert_eq!(rows("permissions"), texts(services.chain([operator])));
    assert_eq!(rows("vhosts"), texts([json!({ "name": VHOST })]));

    let definitions = definitions();
    let users = definitions["users"].as_array().unwrap();
    let tags: BTreeMap<&str, &Value> =
        users.iter().map(|user| (user["name"].as_str().unwrap(), &user["tags"])).collect();
    let (none, monitoring) = (json!([]), json!(["monitoring"]));
    let expected =
        BTreeMap::from([("order", &none), ("inventory", &none), ("payment", &none), ("operator", &monitoring)]);
    assert_eq!(tags, expected);
    for user in users {
        assert_eq!(user["hashing_algorithm"], "rabbit_password_hashing_sha256");
        assert!(user.get("password").is_none(), "a hash, not a password");
    }
}

/// The channels of the AsyncAPI document, each as an exchange with a routing key or as a queue.
#[test]
fn the_channels_of_the_asyncapi_document_are_at_the_broker() {
    let document = asyncapi::document();
    let (mut exchanges, mut bindings, mut queues) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for channel in document["channels"].as_object().unwrap().values() {
        let binding = &channel["bindings"]["amqp"];
        if binding["is"] == "queue" {
            assert_eq!(channel["address"], binding["queue"]["name"]);
            queues.insert(binding["queue"].to_string());
            continue;
        }
        let exchange = &binding["exchange"];
        exchanges.insert(exchange.to_string());
        if exchange["type"] == "direct" {
            bindings.insert((exchange["name"].to_string(), channel["address"].to_string()));
        }
    }
    let definitions = definitions();
    let section = |name: &str| definitions[name].as_array().unwrap().iter();
    let expected = section("exchanges").filter(|exchange| exchange["name"] != DEAD_LETTER_EXCHANGE).map(|exchange| {
        json!({
            "name": exchange["name"], "type": exchange["type"], "durable": exchange["durable"],
            "autoDelete": exchange["auto_delete"], "vhost": VHOST,
        })
    });
    assert_eq!(exchanges, texts(expected));
    let expected = section("queues").filter(|queue| Service::ALL.iter().any(|service| queue["name"] == service.name()));
    let expected = expected.map(|queue| {
        json!({
            "name": queue["name"], "durable": queue["durable"], "autoDelete": queue["auto_delete"],
            "exclusive": false, "vhost": VHOST,
        })
    });
    assert_eq!(queues, texts(expected));
    // A pair of services without an event has a binding, which costs nothing, and no channel.
    let bound: BTreeSet<_> =
        section("bindings").map(|one| (one["source"].to_string(), one["routing_key"].to_string())).collect();
    assert!(bindings.is_subset(&bound) && bindings.len() >= 5, "{bindings:?}");
}
