//! What must be there at the broker for a service to work, derived from the flow table.
//!
//! The names and the arguments are a contract with whoever provisions a broker: `rabbitmq/definitions.json` says the same,
//! and a test holds it to this module. RabbitMQ refuses to declare a queue anew with other arguments, so a change here needs
//! new names or a migration.

use saga_message::{Route, ServiceSpec};

/// Where messages go that were delivered too often. Each queue's own name is the routing key.
pub const DEAD_LETTER_EXCHANGE: &str = "dead-letters";

/// How often a message may come back, by a consumer that died with it or gave it back, before it is a dead letter.
///
/// What cannot be handled is parked by the engine at its first delivery; this limit is only for a message that takes its
/// consumer down each time. But whenever a consumer is killed, all that it had prefetched comes back and is counted with that
/// message, innocent or not. So the limit is far above the number of crashes that a bad deployment or a night without memory
/// brings about before somebody looks, and a service that is started again at growing backoff still gets past a deadly message
/// within hours.
pub const DELIVERY_LIMIT: u32 = 100;

/// RabbitMQ 4 drops a message from a quorum queue after 20 returns where no limit is set, and 3.10 knows no "unlimited". An
/// operator who looks at a dead letter gives it back each time, so this is as good as unlimited on both.
const DEAD_LETTER_DELIVERY_LIMIT: u32 = 1_000_000;

/// What one service needs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Topology {
    /// Its own exchanges, those that it gets deliveries from, and that of the dead letters. All are durable.
    pub exchanges: Vec<Exchange>,
    /// Its queue and that of its dead letters. Both are durable.
    pub queues: Vec<Queue>,
    /// Which messages come into these queues.
    pub bindings: Vec<Binding>,
    /// Bindings of earlier versions, to be taken away.
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
    /// By the equal routing key.
    Direct,
    /// By a pattern, so that whoever listens to the world may use wildcards.
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

/// Messages with this routing key at this exchange come into this queue.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Binding {
    /// The exchange.
    pub exchange: String,
    /// The queue.
    pub queue: String,
    /// The routing key.
    pub routing_key: String,
}

/// The exchange of the copies of `publisher`'s events for the services that must have them, by the name of the consumer.
/// It is a direct exchange, so that no queue that was made to listen to everything is taken for a consumer's: RabbitMQ
/// says of a message only whether *some* queue took it.
#[must_use]
pub fn deliveries_exchange(publisher: &str) -> String {
    format!("{publisher}.deliveries")
}

/// The exchange of `publisher`'s events for whoever listens, by the routing keys of the flow table.
#[must_use]
pub fn events_exchange(publisher: &str) -> String {
    format!("{publisher}.events")
}

/// The queue of what `consumer` listens to.
#[must_use]
pub fn queue(consumer: &str) -> &str {
    consumer
}

/// The queue of `consumer`'s dead letters.
#[must_use]
pub fn dead_letter_queue(consumer: &str) -> String {
    format!("{consumer}.dead-letters")
}

impl Topology {
    /// What `service` needs for publishing: its own exchanges.
    #[must_use]
    pub fn to_publish(service: &ServiceSpec) -> Self {
        let events = Exchange { name: events_exchange(service.name), kind: ExchangeType::Topic };
        Self { exchanges: vec![deliveries_from(service.name), events], ..Self::default() }
    }

    /// What the consumers of `publisher`'s events need to get them: their queues, those of their dead letters, and the
    /// bindings to its exchange. With it, what is published before a consumer was ever started waits in that consumer's
    /// queue.
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

    /// What `service` needs for consuming.
    #[must_use]
    pub fn to_consume(service: &ServiceSpec) -> Self {
        let publishers = service.publishers();
        let bound = |publisher: &&str| binding(deliveries_exchange(publisher), service.name, service.name);
        // Its dead letters need a place from the beginning.
        let mut topology = Self::of_dead_letters(service.name);
        topology.exchanges.extend(publishers.iter().map(|publisher| deliveries_from(publisher)));
        topology.queues.push(inbound(service.name));
        topology.bindings.extend(publishers.iter().map(bound));
        let inbound = service.routes.iter().filter(|route| route.consumers.contains(&service.name));
        topology.obsolete = inbound.flat_map(|route| obsolete(route, service.name)).collect();
        topology
    }

    /// What `service` needs for its dead letters.
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

/// Earlier versions delivered to consumers through the exchange for listeners. What they bound would bring events twice.
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
            // Replicated and written to the disk before the publisher's confirm; counts deliveries.
            ("x-queue-type", text("quorum")),
            ("x-delivery-limit", Argument::Number(DELIVERY_LIMIT)),
            ("x-dead-letter-exchange", text(DEAD_LETTER_EXCHANGE)),
            ("x-dead-letter-routing-key", text(queue(service))),
            // A dead letter leaves the queue only once the other queue has confirmed it. It needs reject-publish.
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
        Route { publisher: "shop", routing_key: "sold", message_type: "sold", consumers: &["stock", "mail"] },
        Route { publisher: "shop", routing_key: "closed", message_type: "closed", consumers: &[] },
        Route { publisher: "stock", routing_key: "gone", message_type: "gone", consumers: &["shop"] },
    ];
    const NAMES: [&str; 3] = ["shop", "stock", "mail"];

    fn service(name: &'static str) -> ServiceSpec {
        ServiceSpec { system: "shops", name, routes: ROUTES, creates_system_id: false }
    }

    #[test]
    fn whoever_consumes_an_event_is_bound_to_its_publisher_once() {
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
    fn a_delivery_comes_into_the_queue_of_its_consumer_only() {
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
