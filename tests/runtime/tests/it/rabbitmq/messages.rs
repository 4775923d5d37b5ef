//! Helpers for publishing and consuming.

use std::time::Duration;

use saga_message::Route;
use saga_runtime::{
    broker::Delivery, broker::Outcome, broker::Outgoing, broker::PublishResult, broker::Publisher, broker::Subscription,
};
use shared_events::{FLOWS, MessageId, Service};
use tokio::{sync::mpsc::UnboundedReceiver, time::timeout};
use uuid::Uuid;

use super::server::TIMEOUT;

/// A message with this routing key for these consumers, from its publisher according to the flow table.
pub(crate) fn message(routing_key: &'static str, consumers: &'static [Service]) -> Outgoing {
    let flow = FLOWS.iter().find(|flow| flow.routing_key == routing_key);
    let consumers: Vec<&'static str> = consumers.iter().map(|consumer| consumer.name()).collect();
    let route = Route {
        publisher: flow.map_or(Service::Order, |flow| flow.publisher).name(),
        routing_key,
        message_type: flow.map_or("order-system.unknown.v1", |flow| flow.route.message_type),
        consumers: Box::leak(consumers.into_boxed_slice()),
        can_wait_at: &[],
    };
    let message_id = MessageId(Uuid::now_v7());
    Outgoing {
        message_id,
        route: Box::leak(Box::new(route)),
        correlation_id: Some(Uuid::now_v7()),
        events: 1,
        body: format!("{{\"id\":\"{message_id}\"}}").into(),
    }
}

pub(crate) fn messages(count: usize) -> Vec<Outgoing> {
    (0..count).map(|_| message("order.created", &[Service::Inventory])).collect()
}

/// A message of order for itself. Its queue is never bound for that, so the message is unroutable.
pub(crate) fn undeliverable() -> Outgoing {
    message("order.created", &[Service::Order])
}

pub(crate) fn unroutable(consumer: &str) -> PublishResult {
    PublishResult::Unroutable(vec![consumer.to_owned()])
}

/// Publishes a message again and again until it is confirmed.
pub(crate) async fn publish_until_confirmed(
    publisher: &mut dyn Publisher,
    outcomes: &mut UnboundedReceiver<Outcome>,
    message: &Outgoing,
) {
    let confirmed = async {
        while publish(publisher, outcomes, std::slice::from_ref(message)).await != [PublishResult::Confirmed] {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(TIMEOUT, confirmed).await.expect("it is confirmed at last");
}

/// Publishes all messages, and returns the results in the order of the messages.
pub(crate) async fn publish(
    publisher: &mut dyn Publisher,
    outcomes: &mut UnboundedReceiver<Outcome>,
    messages: &[Outgoing],
) -> Vec<PublishResult> {
    publisher.publish(messages.to_vec()).await.unwrap();
    let mut results = std::collections::HashMap::new();
    while results.len() < messages.len() {
        let outcome = timeout(TIMEOUT, outcomes.recv()).await.expect("outcomes come").expect("the connection holds");
        assert!(results.insert(outcome.message_id, outcome.result).is_none(), "one outcome a message");
    }
    messages.iter().map(|message| results[&message.message_id].clone()).collect()
}

pub(crate) async fn next(subscription: &mut Subscription) -> Delivery {
    timeout(TIMEOUT, subscription.recv()).await.expect("a delivery comes").expect("the connection holds")
}

pub(crate) async fn take(subscription: &mut Subscription, count: usize) -> Vec<Delivery> {
    let mut deliveries = Vec::new();
    while deliveries.len() < count {
        deliveries.push(next(subscription).await);
    }
    deliveries
}

/// Asserts that nothing is delivered for some time. (That nothing ever comes cannot be tested.)
pub(crate) async fn nothing_comes(subscription: &mut Subscription) {
    let delivery = timeout(Duration::from_millis(400), subscription.recv()).await;
    assert!(delivery.is_err(), "{delivery:?}");
}

pub(crate) fn id(delivery: &Delivery) -> String {
    delivery.message_id.clone().unwrap()
}

pub(crate) fn ids(messages: &[Outgoing]) -> Vec<String> {
    messages.iter().map(|message| message.message_id.to_string()).collect()
}
