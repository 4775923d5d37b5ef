//! Consumers and publishers that come and go.

use std::collections::BTreeSet;

use saga_runtime::{broker::Delivery, broker::PublishResult, broker::Subscription};
use shared_events::{EventType, Service};
use tokio::time::timeout;

use super::{
    BrokerUnderTest, Voice,
    conformance::{next, numbers, take, text},
    go_away, ids, messages, subscribe,
};
use crate::wait::{A_WHILE, soon, stays_pending};

pub(crate) async fn what_a_lost_consumer_held_goes_to_the_next(kind: &dyn BrokerUnderTest) {
    let brokers = kind.fresh(&Service::ALL).await;
    let mut order = Voice::open(&brokers[&Service::Order]).await;
    // Whether the deliveries go before the consumer or with it, and in which order, is chance in real life.
    for round in 0..24 {
        let sent = messages(EventType::OrderCreated, 12);
        order.say(&sent).await;
        let mut inventory = subscribe(&brokers[&Service::Inventory], 6).await;
        let mut held = Vec::new();
        for _ in 0..4 {
            held.push(next(&mut inventory).await);
        }
        let handled = held.remove(1);
        let (done, known): (_, Vec<_>) = (text(&handled), held.iter().map(text).collect());
        handled.receipt.acknowledge();
        go_away(round, inventory, held);
        let mut inventory = subscribe(&brokers[&Service::Inventory], 20).await;
        let mut rest = BTreeSet::new();
        while rest.len() < 11 {
            let delivery = next(&mut inventory).await;
            let message = text(&delivery);
            assert!(!known.contains(&message) || delivery.redeliveries > 0, "{message} was delivered before");
            assert!(message != done && rest.insert(message), "what is acknowledged comes again");
            delivery.receipt.acknowledge();
        }
        assert_eq!(order.hear_confirmed(12).await, ids(&sent));
    }
}

pub(crate) async fn an_acknowledgement_that_comes_late_costs_a_redelivery_at_most(kind: &dyn BrokerUnderTest) {
    let brokers = kind.fresh(&Service::ALL).await;
    let mut order = Voice::open(&brokers[&Service::Order]).await;
    let sent = messages(EventType::OrderCreated, 1);
    order.say(&sent).await;
    let mut inventory = subscribe(&brokers[&Service::Inventory], 10).await;
    let held = next(&mut inventory).await;
    drop(inventory);
    let mut inventory = subscribe(&brokers[&Service::Inventory], 10).await;
    held.receipt.acknowledge();
    assert!(drain(&mut inventory, 0, &mut order, 1).await.len() <= 1);
    stays_pending("confirmed once", order.outcomes.recv()).await;
}

pub(crate) async fn a_queue_keeps_what_comes_while_nobody_consumes(kind: &dyn BrokerUnderTest) {
    let brokers = kind.fresh(&Service::ALL).await;
    let mut order = Voice::open(&brokers[&Service::Order]).await;
    let sent = messages(EventType::OrderCreated, 5);
    order.say(&sent).await;
    let mut inventory = subscribe(&brokers[&Service::Inventory], 1).await;
    assert_eq!(take(&mut inventory, 5).await, numbers(0..5));
    assert_eq!(order.hear_confirmed(5).await, ids(&sent));
}

pub(crate) async fn a_publisher_that_goes_away_harms_nobody(kind: &dyn BrokerUnderTest) {
    let brokers = kind.fresh(&Service::ALL).await;
    let mut inventory = subscribe(&brokers[&Service::Inventory], 10).await;
    let mut gone = Voice::open(&brokers[&Service::Order]).await;
    let sent = messages(EventType::OrderCreated, 3);
    gone.say(&sent).await;
    drop(gone);
    // It publishes again what it had no word of.
    let mut order = Voice::open(&brokers[&Service::Order]).await;
    order.say(&sent).await;
    let said = drain(&mut inventory, 3, &mut order, 3).await;
    assert!(said.len() <= 6, "{said:?}");
    assert_eq!(said.into_iter().collect::<BTreeSet<_>>(), numbers(0..3).into_iter().collect());
}

/// Takes everything, until so many different messages have come, so many of `voice` are confirmed and nothing more comes.
async fn drain(
    subscription: &mut Subscription,
    different: usize,
    voice: &mut Voice,
    mut unconfirmed: usize,
) -> Vec<String> {
    let mut said = Vec::new();
    soon("all is confirmed and delivered", async {
        while unconfirmed > 0 || said.iter().collect::<BTreeSet<_>>().len() < different {
            tokio::select! {
                delivery = subscription.recv() => said.push(taken(delivery)),
                outcome = voice.outcomes.recv(), if unconfirmed > 0 => {
                    assert_eq!(outcome.expect("the connection is there").result, PublishResult::Confirmed);
                    unconfirmed -= 1;
                }
            }
        }
    })
    .await;
    while let Ok(delivery) = timeout(A_WHILE, subscription.recv()).await {
        said.push(taken(delivery));
    }
    said
}

fn taken(delivery: Option<Delivery>) -> String {
    let delivery = delivery.expect("the connection is there");
    let said = text(&delivery);
    delivery.receipt.acknowledge();
    said
}
