//! Delivery, confirmation and routing.

use saga_runtime::{broker::Delivery, broker::PublishResult, broker::Subscription};
use shared_events::{EventType, FLOWS, Service};
use tokio::time::timeout;

use super::{BrokerUnderTest, Voice, ids, message, messages, subscribe};
use crate::wait::{A_WHILE, soon, stays_pending};

pub(crate) async fn next(subscription: &mut Subscription) -> Delivery {
    soon("a delivery", subscription.recv()).await.expect("the connection is there")
}

/// What the next `count` deliveries say; they are acknowledged.
pub(crate) async fn take(subscription: &mut Subscription, count: usize) -> Vec<String> {
    let mut said = Vec::new();
    for _ in 0..count {
        let delivery = next(subscription).await;
        said.push(text(&delivery));
        delivery.receipt.acknowledge();
    }
    said
}

pub(crate) fn text(delivery: &Delivery) -> String {
    String::from_utf8(delivery.body.to_vec()).unwrap()
}

pub(crate) fn numbers(range: impl Iterator<Item = usize>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

pub(crate) async fn a_delivery_dropped_without_an_acknowledgement_comes_again(kind: &dyn BrokerUnderTest) {
    let brokers = kind.fresh(&Service::ALL).await;
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

pub(crate) async fn a_consumer_holds_no_more_than_it_asked_for(kind: &dyn BrokerUnderTest) {
    let brokers = kind.fresh(&Service::ALL).await;
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

pub(crate) async fn what_is_confirmed_came_to_every_queue(kind: &dyn BrokerUnderTest) {
    let brokers = kind.fresh(&Service::ALL).await;
    let mut order = subscribe(&brokers[&Service::Order], 10).await;
    let mut payment = subscribe(&brokers[&Service::Payment], 10).await;
    let mut inventory = Voice::open(&brokers[&Service::Inventory]).await;
    let sent = message(EventType::StockReserved, "fan-out");
    inventory.say(std::slice::from_ref(&sent)).await;
    // One queue is done with it; that is nothing to the other.
    assert_eq!(take(&mut order, 1).await, ["fan-out"]);
    drop(next(&mut payment).await);
    assert_eq!(take(&mut payment, 1).await, ["fan-out"]);
    assert_eq!(inventory.hear().await, (sent.message_id, PublishResult::Confirmed));
    stays_pending("it is done with", order.recv()).await;
    stays_pending("it is done with", payment.recv()).await;
}

pub(crate) async fn a_message_with_a_consumer_needs_its_queue(kind: &dyn BrokerUnderTest) {
    // Nobody hears of new orders here, or is to hear of the ends of orders anywhere.
    let brokers = kind.fresh(&[Service::Order, Service::Payment]).await;
    let mut order = Voice::open(&brokers[&Service::Order]).await;
    let created = message(EventType::OrderCreated, "for inventory");
    let failed = message(EventType::OrderFailed, "for whoever listens");
    order.say(&[created.clone(), failed.clone()]).await;
    let mut outcomes = [order.hear().await, order.hear().await];
    outcomes.sort_by_key(|(message, _)| *message);
    let unroutable = PublishResult::Unroutable(vec!["inventory".to_owned()]);
    assert_eq!(outcomes, [(created.message_id, unroutable), (failed.message_id, PublishResult::Confirmed)]);
}

pub(crate) async fn what_one_of_two_consumers_cannot_get_is_not_confirmed(kind: &dyn BrokerUnderTest) {
    let brokers = kind.fresh(&[Service::Inventory, Service::Order]).await;
    let mut inventory = Voice::open(&brokers[&Service::Inventory]).await;
    let sent = message(EventType::StockReserved, "for both");
    inventory.say(std::slice::from_ref(&sent)).await;
    let unroutable = PublishResult::Unroutable(vec!["payment".to_owned()]);
    assert_eq!(inventory.hear().await, (sent.message_id, unroutable));
    drop(inventory);

    let brokers = kind.completed(brokers).await;
    let mut order = subscribe(&brokers[&Service::Order], 10).await;
    let mut payment = subscribe(&brokers[&Service::Payment], 10).await;
    let mut inventory = Voice::open(&brokers[&Service::Inventory]).await;
    inventory.say(std::slice::from_ref(&sent)).await;
    assert_eq!(take(&mut payment, 1).await, ["for both"]);
    assert_eq!(take(&mut order, 1).await, ["for both"]);
    // The one whose queue was there may have it from before, too, and knows it by its id.
    while let Ok(Some(again)) = timeout(A_WHILE, order.recv()).await {
        assert_eq!(again.message_id, Some(sent.message_id.to_string()));
        again.receipt.acknowledge();
    }
    assert_eq!(inventory.hear().await, (sent.message_id, PublishResult::Confirmed));
    stays_pending("one for each", payment.recv()).await;
}

pub(crate) async fn each_queue_gets_what_the_flow_table_says(kind: &dyn BrokerUnderTest) {
    let brokers = kind.fresh(&Service::ALL).await;
    let mut voices = Vec::new();
    for publisher in Service::ALL {
        let mut voice = Voice::open(&brokers[&publisher]).await;
        let own = EventType::ALL.into_iter().filter(|event| event.flow().publisher == publisher);
        voice.say(&own.map(|event| message(event, event)).collect::<Vec<_>>()).await;
        voices.push(voice);
    }
    for consumer in Service::ALL {
        let mut expected = Vec::new();
        for publisher in Service::ALL {
            let own = consumer.subscriptions().filter(|flow| flow.publisher == publisher);
            expected.extend(own.map(|flow| flow.event.to_string()));
        }
        let mut subscription = subscribe(&brokers[&consumer], 20).await;
        let mut said = take(&mut subscription, expected.len()).await;
        // Each publisher's in order; whose come first is chance.
        let publisher = |event: &String| {
            let flow = FLOWS.iter().find(|flow| flow.event.to_string() == *event).unwrap();
            Service::ALL.into_iter().position(|service| service == flow.publisher)
        };
        said.sort_by_key(publisher);
        assert_eq!(said, expected, "{consumer}");
        stays_pending("and nothing else", subscription.recv()).await;
    }
}

pub(crate) async fn the_order_is_kept(kind: &dyn BrokerUnderTest) {
    const COUNT: usize = 500;
    let brokers = kind.fresh(&Service::ALL).await;
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
