//! Delivery, confirmation and routing.

use service_kit::broker::{Delivery, Subscription, Verdict};
use shared_events::{EventType, Service};

use super::{BrokerUnderTest, Voice, ids, message, messages, subscribe};
use crate::wait::{soon, stays_pending};

pub(super) async fn next(subscription: &mut Subscription) -> Delivery {
    soon("a delivery", subscription.recv()).await.expect("the connection is there")
}

/// What the next `count` deliveries say; they are acknowledged.
pub(super) async fn take(subscription: &mut Subscription, count: usize) -> Vec<String> {
    let mut said = Vec::new();
    for _ in 0..count {
        let delivery = next(subscription).await;
        said.push(text(&delivery));
        delivery.receipt.acknowledge();
    }
    said
}

pub(super) fn text(delivery: &Delivery) -> String {
    String::from_utf8(delivery.body.to_vec()).unwrap()
}

pub(super) fn numbers(range: impl Iterator<Item = usize>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

pub(super) async fn a_delivery_dropped_without_an_acknowledgement_comes_again(kind: &dyn BrokerUnderTest) {
    let brokers = kind.fresh(&Service::ALL, 10).await;
    let mut inventory = subscribe(&brokers[&Service::Inventory], 10).await;
    let mut order = Voice::open(&brokers[&Service::Order]).await;
    let sent = message(EventType::OrderCreated, "body");
    order.say(std::slice::from_ref(&sent)).await;
    for redeliveries in 0..3 {
        let delivery = next(&mut inventory).await;
        assert_eq!((text(&delivery).as_str(), delivery.redeliveries), ("body", redeliveries));
        assert_eq!(delivery.message_id, Some(sent.message_id.to_string()));
        drop(delivery);
    }
    next(&mut inventory).await.receipt.acknowledge();
    assert_eq!(order.hear_confirmed(1).await, [sent.message_id]);
    stays_pending("once acknowledged, it does not come again", inventory.recv()).await;
}

pub(super) async fn a_consumer_holds_no_more_than_it_asked_for(kind: &dyn BrokerUnderTest) {
    let brokers = kind.fresh(&Service::ALL, 20).await;
    let mut order = Voice::open(&brokers[&Service::Order]).await;
    order.say(&messages(EventType::OrderCreated, 10)).await;
    let mut inventory = subscribe(&brokers[&Service::Inventory], 3).await;
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(next(&mut inventory).await);
    }
    stays_pending("a fourth is not delivered", inventory.recv()).await;
    held.remove(1).receipt.acknowledge();
    let fourth = next(&mut inventory).await;
    assert_eq!(text(&fourth), "3");
    stays_pending("nor is a fifth", inventory.recv()).await;
}

pub(super) async fn a_publisher_waits_while_the_queue_is_full(kind: &dyn BrokerUnderTest) {
    let brokers = kind.fresh(&Service::ALL, 4).await;
    let mut order = Voice::open(&brokers[&Service::Order]).await;
    let sent = messages(EventType::OrderCreated, 12);
    let (first, rest) = sent.split_at(4);
    order.say(first).await;
    let rest = rest.to_vec();
    let mut publishing = tokio::spawn(async move {
        order.say(&rest).await;
        order
    });
    stays_pending("there is no room", &mut publishing).await;
    let mut inventory = subscribe(&brokers[&Service::Inventory], 2).await;
    let mut held = vec![next(&mut inventory).await, next(&mut inventory).await];
    stays_pending("nor is there while nothing is acknowledged", &mut publishing).await;
    held.drain(..).for_each(|delivery| delivery.receipt.acknowledge());
    assert_eq!(take(&mut inventory, 10).await, numbers(2..12));
    let mut order = soon("the publisher goes on", publishing).await.unwrap();
    assert_eq!(order.hear_confirmed(12).await, ids(&sent));
}

pub(super) async fn confirmed_means_that_every_queue_answers_for_it(kind: &dyn BrokerUnderTest) {
    let brokers = kind.fresh(&Service::ALL, 10).await;
    let mut order = subscribe(&brokers[&Service::Order], 10).await;
    let mut payment = subscribe(&brokers[&Service::Payment], 10).await;
    let mut inventory = Voice::open(&brokers[&Service::Inventory]).await;
    let sent = message(EventType::StockReserved, "fan-out");
    inventory.say(std::slice::from_ref(&sent)).await;
    let (at_order, at_payment) = (next(&mut order).await, next(&mut payment).await);
    assert_eq!((text(&at_order).as_str(), text(&at_payment).as_str()), ("fan-out", "fan-out"));
    if brokers[&Service::Inventory].confirms_after_commit() {
        stays_pending("nobody has committed it", inventory.hear()).await;
        at_order.receipt.acknowledge();
        stays_pending("one of two has not committed it", inventory.hear()).await;
        at_payment.receipt.acknowledge();
    }
    assert_eq!(inventory.hear().await, (sent.message_id, Verdict::Confirmed));
}

pub(super) async fn only_a_mandatory_message_needs_a_queue(kind: &dyn BrokerUnderTest) {
    // Nobody hears of new orders here, or is to hear of the ends of orders anywhere.
    let brokers = kind.fresh(&[Service::Order, Service::Payment], 10).await;
    let mut order = Voice::open(&brokers[&Service::Order]).await;
    let created = message(EventType::OrderCreated, "mandatory");
    let failed = message(EventType::OrderFailed, "for whoever listens");
    assert!(created.mandatory && !failed.mandatory);
    order.say(&[created.clone(), failed.clone()]).await;
    let mut outcomes = [order.hear().await, order.hear().await];
    outcomes.sort_by_key(|(message, _)| *message);
    assert_eq!(outcomes, [(created.message_id, Verdict::Unroutable), (failed.message_id, Verdict::Confirmed)]);
}

pub(super) async fn each_queue_gets_what_the_flow_table_says_in_order(kind: &dyn BrokerUnderTest) {
    let brokers = kind.fresh(&Service::ALL, 20).await;
    for publisher in Service::ALL {
        let mut voice = Voice::open(&brokers[&publisher]).await;
        let own = EventType::ALL.into_iter().filter(|event| event.flow().publisher == publisher);
        voice.say(&own.map(|event| message(event, event)).collect::<Vec<_>>()).await;
    }
    for consumer in Service::ALL {
        let mut expected = Vec::new();
        for publisher in Service::ALL {
            let own = consumer.subscriptions().filter(|flow| flow.publisher == publisher);
            expected.extend(own.map(|flow| flow.event.to_string()));
        }
        let mut subscription = subscribe(&brokers[&consumer], 20).await;
        assert_eq!(take(&mut subscription, expected.len()).await, expected, "{consumer}");
        stays_pending("and nothing else", subscription.recv()).await;
    }
}

pub(super) async fn the_order_is_kept(kind: &dyn BrokerUnderTest) {
    const COUNT: usize = 500;
    let brokers = kind.fresh(&Service::ALL, 16).await;
    let mut inventory = subscribe(&brokers[&Service::Inventory], 7).await;
    let mut order = Voice::open(&brokers[&Service::Order]).await;
    let sent = messages(EventType::OrderCreated, COUNT);
    let expected = ids(&sent);
    let publishing = tokio::spawn(async move {
        for some in sent.chunks(33) {
            order.say(some).await;
        }
        order
    });
    assert_eq!(take(&mut inventory, COUNT).await, numbers(0..COUNT));
    let mut order = soon("all is handed over", publishing).await.unwrap();
    assert_eq!(order.hear_confirmed(COUNT).await, expected);
}
