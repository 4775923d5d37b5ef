//! Exchanges and queues as channels, and what each service does with them. A test compares the names with what the
//! services declare at the broker.

use serde_json::{Value, json};

use super::{AMQP_BINDINGS, VHOST, messages, object, reference};
use crate::{EventType, FLOWS, Flow, Service};

/// An exchange with a routing key, or a queue, and the only operation on it.
struct Channel {
    id: String,
    address: String,
    description: String,
    binding: Value,
    action: &'static str,
    service: Service,
    events: Vec<EventType>,
}

pub(super) fn channels() -> Value {
    object(all().map(|channel| {
        let names = channel.events.iter().flat_map(|event| messages::names(*event));
        let value = json!({
            "address": channel.address,
            "description": channel.description,
            "servers": [reference("servers", "rabbitmq")],
            "messages": object(names.map(|name| (name.clone(), reference("components/messages", &name)))),
            "bindings": { "amqp": channel.binding },
        });
        (channel.id, value)
    }))
}

pub(super) fn operations() -> Value {
    object(all().map(|channel| {
        let messages = format!("channels/{}/messages", channel.id);
        let names = channel.events.iter().flat_map(|event| messages::names(*event));
        let binding = match channel.action {
            "send" => json!({ "deliveryMode": 2, "timestamp": true, "bindingVersion": AMQP_BINDINGS }),
            _ => json!({ "ack": true, "bindingVersion": AMQP_BINDINGS }),
        };
        let value = json!({
            "action": channel.action,
            "tags": [{ "name": channel.service.name() }],
            "channel": reference("channels", &channel.id),
            "messages": names.map(|name| reference(&messages, &name)).collect::<Vec<_>>(),
            "bindings": { "amqp": binding },
        });
        (format!("{}.{}", channel.action, channel.id), value)
    }))
}

/// Returns one channel for each pair of publisher and consumer, one for each event that listeners may receive, and one
/// for the queue of each service.
fn all() -> impl Iterator<Item = Channel> {
    let publishers = || Service::ALL.into_iter();
    let pairs = publishers().flat_map(|publisher| Service::ALL.map(|consumer| (publisher, consumer)));
    let copies = pairs.filter_map(|(publisher, consumer)| copies(publisher, consumer));
    copies.chain(FLOWS.iter().map(for_listeners)).chain(publishers().map(queue))
}

fn copies(publisher: Service, consumer: Service) -> Option<Channel> {
    let flows = consumer.subscriptions().filter(|flow| flow.publisher == publisher);
    let events: Vec<_> = flows.map(|flow| flow.event).collect();
    let exchange = format!("{publisher}.deliveries");
    (!events.is_empty()).then(|| Channel {
        id: format!("{exchange}.{consumer}"),
        address: consumer.name().to_owned(),
        description: format!("The copies for the {consumer} service, which are routed to its queue"),
        binding: routing_key(&exchange, "direct"),
        action: "send",
        service: publisher,
        events,
    })
}

fn for_listeners(flow: &Flow) -> Channel {
    let exchange = format!("{}.events", flow.publisher);
    Channel {
        id: format!("{exchange}.{}", flow.routing_key),
        address: flow.routing_key.to_owned(),
        description: format!("{} for listeners outside the system, who bind queues of their own", flow.event),
        binding: routing_key(&exchange, "topic"),
        action: "send",
        service: flow.publisher,
        events: vec![flow.event],
    }
}

fn queue(service: Service) -> Channel {
    let name = service.name();
    let queue = json!({ "name": name, "durable": true, "exclusive": false, "autoDelete": false, "vhost": VHOST });
    Channel {
        id: name.to_owned(),
        address: name.to_owned(),
        description: format!("The quorum queue of the {service} service"),
        binding: json!({ "is": "queue", "queue": queue, "bindingVersion": AMQP_BINDINGS }),
        action: "receive",
        service,
        events: service.subscriptions().map(|flow| flow.event).collect(),
    }
}

fn routing_key(exchange: &str, kind: &str) -> Value {
    let exchange = json!({ "name": exchange, "type": kind, "durable": true, "autoDelete": false, "vhost": VHOST });
    json!({ "is": "routingKey", "exchange": exchange, "bindingVersion": AMQP_BINDINGS })
}
