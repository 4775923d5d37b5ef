//! The exchanges, queues and bindings that a service needs at the broker, derived from the flow table.
//!
//! The names and arguments are a contract with those who provision a broker: `rabbitmq/definitions.json` contains the
//! same, and a test compares it with this module. RabbitMQ refuses to declare an existing queue with other arguments,
//! so a change here needs new names or a migration.

use saga_message::{Route, ServiceSpec};

/// The exchange for messages that were delivered too often. The routing key is the name of the queue that they come
/// from.
pub const DEAD_LETTER_EXCHANGE: &str = "dead-letters";

/// How often a message may be redelivered, because its consumer crashed or gave it back, before RabbitMQ dead-letters
/// it.
///
/// The engine dead-letters a message that it cannot handle at the first delivery; this limit is only for a message that
/// crashes its consumer each time. But when a consumer is killed, everything that it had prefetched is redelivered and
/// counted as well. So the limit is far above the number of crashes that a bad deployment or a night without memory
/// causes before an operator looks, and a service that is restarted with growing backoff still gets past a fatal
/// message within hours.
pub const DELIVERY_LIMIT: u32 = 100;

/// RabbitMQ 4 drops a message from a quorum queue after 20 returns if no limit is set, and 3.10 has no value for
/// "unlimited". Each inspection of a dead letter gives it back and is counted, so this value is as good as unlimited on
/// both versions.
const DEAD_LETTER_DELIVERY_LIMIT: u32 = 1_000_000;

/// What one service needs at the broker.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Topology {
    /// The service's own exchanges, those that it receives from, and the dead-letter exchange. All are durable.
    pub exchanges: Vec<Exchange>,
    /// The service's queue and its dead-letter queue. Both are durable.
    pub queues: Vec<Queue>,
    /// The bindings of these queues.
    pub bindings: Vec<Binding>,
    /// Bindings of earlier versions, which are removed.
    pub obsolete: Vec<Binding>,
}

/// A durable exchange.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Exchange {
    /// Its name.
    pub name: String,
    /// How it routes.
    pub kind: ExchangeType,
}

/// How an exchange routes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ExchangeType {
    /// By equality of the routing key.
    Direct,
    /// By a pattern, so that listeners may use wildcards.
    Topic,
}

/// A durable queue.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Queue {
    /// Its name.
    pub name: String,
    /// Its arguments.
    pub arguments: Vec<(&'static str, Argument)>,
}

/// The value of an argument.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Argument {
    /// A text.
    Text(String),
    /// A number.
    Number(u32),
}

/// Routes messages with this routing key from the exchange to the queue.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Binding {
    /// The exchange.
    pub exchange: String,
    /// The queue.
    pub queue: String,
    /// The routing key.
    pub routing_key: String,
}

/// Returns the name of the exchange through which `publisher`'s events reach the services that must receive them. The
/// routing key is the name of the consumer. It is a direct exchange, so that a queue that somebody bound to receive
/// everything cannot be mistaken for a consumer's: RabbitMQ only reports whether *some* queue received a message.
#[must_use]
pub fn deliveries_exchange(publisher: &str) -> String {
    format!("{publisher}.deliveries")
}

/// Returns the name of the exchange of `publisher`'s events for optional listeners. The routing keys are those of the
/// flow table.
#[must_use]
pub fn events_exchange(publisher: &str) -> String {
    format!("{publisher}.events")
}

/// Returns the name of `consumer`'s queue.
#[must_use]
pub fn queue(consumer: &str) -> &str {
    consumer
}

/// Returns the name of `consumer`'s dead-letter queue.
#[must_use]
pub fn dead_letter_queue(consumer: &str) -> String {
    format!("{consumer}.dead-letters")
}

impl Topology {
    /// Returns what `service` needs for publishing: its own exchanges.
    #[must_use]
    pub fn to_publish(service: &ServiceSpec) -> Self {
        let events = Exchange { name: events_exchange(service.name), kind: ExchangeType::Topic };
        Self { exchanges: vec![deliveries_from(service.name), events], ..Self::default() }
    }

    /// Returns what the consumers of `publisher`'s events need to receive them: their queues, their dead-letter queues,
    /// and the bindings to its exchange. With it, events that are published before a consumer is started for the first
    /// time wait in that consumer's queue.
    #[must_use]
    pub fn of_consumers(publisher: &ServiceSpec) -> Self {
        let exchanges = [deliveries_from(publisher.name), dead_letter_exchange()];
        let (mut queues, mut bindings) = (Vec::new(), Vec::new());
        for consumer in publisher.consumers() {
            let theirs = Self::to_consume(&ServiceSpec { name: consumer, ..*publisher });
            queues.extend(theirs.queues);
            bindings.extend(theirs.bindings);
        }
        bindings.retain(|binding| exchanges.iter().any(|exchange| exchange.name == binding.exchange));
        Self { exchanges: exchanges.into(), queues, bindings, obsolete: Vec::new() }
    }

    /// Returns what `service` needs for consuming.
    #[must_use]
    pub fn to_consume(service: &ServiceSpec) -> Self {
        let publishers = service.publishers();
        let bound = |publisher: &&str| binding(deliveries_exchange(publisher), service.name, service.name);
        // The dead-letter queue must exist from the beginning.
        let mut topology = Self::of_dead_letters(service.name);
        topology.exchanges.extend(publishers.iter().map(|publisher| deliveries_from(publisher)));
        topology.queues.push(inbound(service.name));
        topology.bindings.extend(publishers.iter().map(bound));
        let inbound = service.routes.iter().filter(|route| route.consumers.contains(&service.name));
        topology.obsolete = inbound.flat_map(|route| obsolete(route, service.name)).collect();
        topology
    }

    /// Returns what `service` needs for its dead letters.
    #[must_use]
    pub fn of_dead_letters(service: &str) -> Self {
        Self {
            exchanges: vec![dead_letter_exchange()],
            queues: vec![dead_letters(service)],
            bindings: vec![Binding {
                exchange: DEAD_LETTER_EXCHANGE.to_owned(),
                queue: dead_letter_queue(service),
                routing_key: queue(service).to_owned(),
            }],
            ..Self::default()
        }
    }
}

fn binding(exchange: String, consumer: &str, routing_key: impl Into<String>) -> Binding {
    Binding { exchange, queue: queue(consumer).to_owned(), routing_key: routing_key.into() }
}

/// Earlier versions delivered to consumers through the exchange for listeners. Their bindings would deliver events
/// twice.
fn obsolete(route: &Route, consumer: &str) -> [Binding; 2] {
    let key = route.routing_key;
    [key.to_owned(), format!("{key}.{consumer}")].map(|key| binding(events_exchange(route.publisher), consumer, key))
}

fn dead_letter_exchange() -> Exchange {
    Exchange { name: DEAD_LETTER_EXCHANGE.to_owned(), kind: ExchangeType::Direct }
}

fn deliveries_from(publisher: &str) -> Exchange {
    Exchange { name: deliveries_exchange(publisher), kind: ExchangeType::Direct }
}

fn inbound(service: &str) -> Queue {
    let text = |text: &str| Argument::Text(text.to_owned());
    Queue {
        name: queue(service).to_owned(),
        arguments: vec![
            // Replicated, written to disk before the publisher's confirm, and counts deliveries.
            ("x-queue-type", text("quorum")),
            ("x-delivery-limit", Argument::Number(DELIVERY_LIMIT)),
            ("x-dead-letter-exchange", text(DEAD_LETTER_EXCHANGE)),
            ("x-dead-letter-routing-key", text(queue(service))),
            // A dead letter leaves the queue only once the other queue has confirmed it. This requires
            // `reject-publish`.
            ("x-dead-letter-strategy", text("at-least-once")),
            ("x-overflow", text("reject-publish")),
        ],
    }
}

fn dead_letters(service: &str) -> Queue {
    Queue {
        name: dead_letter_queue(service),
        arguments: vec![
            ("x-queue-type", Argument::Text("quorum".to_owned())),
            ("x-delivery-limit", Argument::Number(DEAD_LETTER_DELIVERY_LIMIT)),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUTES: &[Route] = &[
        Route {
            publisher: "shop",
            routing_key: "sold",
            message_type: "sold",
            consumers: &["stock", "mail"],
            can_wait_at: &[],
        },
        Route { publisher: "shop", routing_key: "closed", message_type: "closed", consumers: &[], can_wait_at: &[] },
        Route { publisher: "stock", routing_key: "gone", message_type: "gone", consumers: &["shop"], can_wait_at: &[] },
    ];
    const NAMES: [&str; 3] = ["shop", "stock", "mail"];

    fn service(name: &'static str) -> ServiceSpec {
        ServiceSpec { system: "shops", name, routes: ROUTES, creates_system_id: false }
    }

    #[test]
    fn each_consumer_of_an_event_is_bound_to_its_publisher_once() {
        for route in ROUTES {
            let bindings = Topology::of_consumers(&service(route.publisher)).bindings;
            for &consumer in route.consumers {
                let expected = binding(deliveries_exchange(route.publisher), consumer, consumer);
                assert_eq!(bindings.iter().filter(|bound| **bound == expected).count(), 1, "{expected:?}");
                assert!(Topology::to_consume(&service(consumer)).bindings.contains(&expected), "{expected:?}");
            }
        }
    }

    #[test]
    fn a_delivery_reaches_the_queue_of_its_consumer_only() {
        for publisher in NAMES {
            let bindings = Topology::of_consumers(&service(publisher)).bindings;
            for binding in bindings.iter().filter(|binding| binding.exchange != DEAD_LETTER_EXCHANGE) {
                assert_eq!(binding.routing_key, binding.queue);
            }
        }
    }

    #[test]
    fn what_is_bound_is_declared_too() {
        let topologies = |name| [Topology::to_consume(&service(name)), Topology::of_consumers(&service(name))];
        for Topology { exchanges, queues, bindings, .. } in NAMES.into_iter().flat_map(topologies) {
            for binding in bindings {
                assert!(exchanges.iter().any(|exchange| exchange.name == binding.exchange), "{binding:?}");
                assert!(queues.iter().any(|queue| queue.name == binding.queue), "{binding:?}");
            }
        }
    }
}
