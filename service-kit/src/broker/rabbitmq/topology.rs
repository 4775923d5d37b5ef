//! What must be there at the broker for a service to work, derived from the flow table.
//!
//! The names and the arguments are a contract with whoever provisions a broker: `rabbitmq/definitions.json` says the same,
//! and a test holds it to this module. RabbitMQ refuses to declare a queue anew with other arguments, so a change here needs
//! new names or a migration.

use shared_events::Service;

/// Where messages go that were delivered too often. Each queue's own name is the routing key.
pub const DEAD_LETTER_EXCHANGE: &str = "dead-letters";

/// How often a message may come back, by a consumer that died with it or gave it back, before it is a dead letter.
///
/// What cannot be handled is parked by the engine at its first delivery; this limit is only for a message that takes its
/// consumer down each time. But whenever a consumer is killed, all that it had prefetched comes back and is counted with that
/// message, innocent or not. So the limit is far above the number of crashes that a bad deployment or a night without memory
/// brings about before somebody looks, and a service that is started again at growing pauses still gets past a deadly message
/// within hours.
pub const DELIVERY_LIMIT: u32 = 100;

/// RabbitMQ 4 drops a message from a quorum queue after 20 returns where no limit is set, and 3.10 knows no "unlimited". An
/// operator who looks at a dead letter gives it back each time, so this is as good as unlimited on both.
const DEAD_LETTER_DELIVERY_LIMIT: u32 = 1_000_000;

/// What one service needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topology {
    /// Its own exchange, those that it listens to, and that of the dead letters. All are durable.
    pub exchanges: Vec<Exchange>,
    /// Its queue and that of its dead letters. Both are durable.
    pub queues: Vec<Queue>,
    /// Which messages come into these queues.
    pub bindings: Vec<Binding>,
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

/// The exchange that `publisher` tells its events to.
#[must_use]
pub fn exchange(publisher: Service) -> String {
    format!("{publisher}.events")
}

/// The queue of what `consumer` listens to.
#[must_use]
pub fn queue(consumer: Service) -> &'static str {
    consumer.name()
}

/// The queue of `consumer`'s dead letters.
#[must_use]
pub fn dead_letter_queue(consumer: Service) -> String {
    format!("{consumer}.dead-letters")
}

impl Topology {
    /// What `service` needs for publishing: its own exchange.
    #[must_use]
    pub fn to_publish(service: Service) -> Self {
        Self { exchanges: vec![events_of(service)], queues: Vec::new(), bindings: Vec::new() }
    }

    /// What the consumers of `publisher`'s events need to get them: their queues, those of their dead letters, and the
    /// bindings to its exchange. With it, what is published before a consumer was ever started waits in that consumer's
    /// queue.
    #[must_use]
    pub fn of_consumers(publisher: Service) -> Self {
        let exchanges = [events_of(publisher), dead_letter_exchange()];
        let consumes = |consumer: &Service| consumer.subscriptions().any(|flow| flow.publisher == publisher);
        let (mut queues, mut bindings) = (Vec::new(), Vec::new());
        for theirs in Service::ALL.into_iter().filter(consumes).map(Self::to_consume) {
            queues.extend(theirs.queues);
            bindings.extend(theirs.bindings);
        }
        bindings.retain(|binding| exchanges.iter().any(|exchange| exchange.name == binding.exchange));
        Self { exchanges: exchanges.into(), queues, bindings }
    }

    /// What `service` needs for consuming.
    #[must_use]
    pub fn to_consume(service: Service) -> Self {
        let inbound_bindings = service.subscriptions().map(|flow| Binding {
            exchange: exchange(flow.publisher),
            queue: queue(service).to_owned(),
            routing_key: flow.routing_key_for(service).into_owned(),
        });
        let mut publishers: Vec<Service> = service.subscriptions().map(|flow| flow.publisher).collect();
        publishers.sort_unstable();
        publishers.dedup();
        // Its dead letters need a place from the beginning.
        let mut topology = Self::of_dead_letters(service);
        topology.exchanges.extend(publishers.into_iter().map(events_of));
        topology.queues.push(inbound(service));
        topology.bindings.extend(inbound_bindings);
        topology
    }

    /// What `service` needs for its dead letters.
    #[must_use]
    pub fn of_dead_letters(service: Service) -> Self {
        Self {
            exchanges: vec![dead_letter_exchange()],
            queues: vec![dead_letters(service)],
            bindings: vec![Binding {
                exchange: DEAD_LETTER_EXCHANGE.to_owned(),
                queue: dead_letter_queue(service),
                routing_key: queue(service).to_owned(),
            }],
        }
    }
}

fn dead_letter_exchange() -> Exchange {
    Exchange { name: DEAD_LETTER_EXCHANGE.to_owned(), kind: ExchangeType::Direct }
}

fn events_of(publisher: Service) -> Exchange {
    Exchange { name: exchange(publisher), kind: ExchangeType::Topic }
}

fn inbound(service: Service) -> Queue {
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

fn dead_letters(service: Service) -> Queue {
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
    use shared_events::FLOWS;

    use super::*;

    #[test]
    fn every_row_of_the_flow_table_is_bound_once_for_each_of_its_consumers() {
        let bindings: Vec<Binding> =
            Service::ALL.into_iter().flat_map(|service| Topology::to_consume(service).bindings).collect();
        for flow in FLOWS {
            for &consumer in flow.consumers {
                let binding = Binding {
                    exchange: exchange(flow.publisher),
                    queue: queue(consumer).to_owned(),
                    routing_key: flow.routing_key_for(consumer).into_owned(),
                };
                assert_eq!(bindings.iter().filter(|bound| **bound == binding).count(), 1, "{binding:?}");
            }
        }
        let consumers: usize = FLOWS.iter().map(|flow| flow.consumers.len()).sum();
        assert_eq!(bindings.len(), consumers + Service::ALL.len());
    }

    #[test]
    fn each_copy_of_an_event_comes_into_one_queue() {
        for flow in FLOWS {
            let bindings = Topology::of_consumers(flow.publisher).bindings;
            for &consumer in flow.consumers {
                let key = flow.routing_key_for(consumer);
                let bound = bindings.iter().filter(|binding| binding.routing_key == key);
                let queues: Vec<_> = bound.map(|binding| binding.queue.as_str()).collect();
                assert_eq!(queues, [queue(consumer)], "{key}");
            }
        }
    }

    #[test]
    fn what_is_bound_is_declared_too() {
        let topologies = |service| [Topology::to_consume(service), Topology::of_consumers(service)];
        for Topology { exchanges, queues, bindings } in Service::ALL.into_iter().flat_map(topologies) {
            for binding in bindings {
                assert!(exchanges.iter().any(|exchange| exchange.name == binding.exchange), "{binding:?}");
                assert!(queues.iter().any(|queue| queue.name == binding.queue), "{binding:?}");
            }
        }
    }
}
