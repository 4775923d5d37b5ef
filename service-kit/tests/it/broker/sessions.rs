//! Consumers and publishers that come and go.

use shared_events::{EventType, Service};

use super::{
    BrokerUnderTest, Voice,
    conformance::{next, numbers, take, text},
    ids, messages, subscribe,
};
use crate::wait::{soon, stays_pending};

pub(super) async fn what_a_lost_consumer_held_goes_to_the_next_in_order(kind: &dyn BrokerUnderTest) {
    // Whether the deliveries go before the consumer or with it, and in which order, is chance in real life.
    for round in 0..30 {
        let brokers = kind.fresh(&Service::ALL, 20).await;
        let mut order = Voice::open(&brokers[&Service::Order]).await;
        let sent = messages(EventType::OrderCreated, 12);
        order.say(&sent).await;
        let mut inventory = subscribe(&brokers[&Service::Inventory], 6).await;
        let mut held = Vec::new();
        for _ in 0..4 {
            held.push(next(&mut inventory).await);
        }
        held.remove(1).receipt.acknowledge();
        match round % 3 {
            0 => drop((inventory, held)),
            1 => drop((held, inventory)),
            _ => {
                held.reverse();
                drop((inventory, held));
            }
        }
        let mut inventory = subscribe(&brokers[&Service::Inventory], 20).await;
        let first = next(&mut inventory).await;
        assert_eq!(text(&first), "0", "round {round}");
        assert!(first.redeliveries >= 1, "it was delivered before");
        first.receipt.acknowledge();
        assert_eq!(take(&mut inventory, 10).await, numbers(2..12), "round {round}");
        assert_eq!(order.hear_confirmed(12).await, ids(&sent));
    }
}

pub(super) async fn an_acknowledgement_that_comes_too_late_costs_a_redelivery_and_no_more(kind: &dyn BrokerUnderTest) {
    let brokers = kind.fresh(&Service::ALL, 10).await;
    let mut order = Voice::open(&brokers[&Service::Order]).await;
    let sent = messages(EventType::OrderCreated, 1);
    order.say(&sent).await;
    let mut inventory = subscribe(&brokers[&Service::Inventory], 10).await;
    let held = next(&mut inventory).await;
    drop(inventory);
    let mut inventory = subscribe(&brokers[&Service::Inventory], 10).await;
    let again = next(&mut inventory).await;
    held.receipt.acknowledge();
    assert_eq!(text(&again), "0");
    again.receipt.acknowledge();
    assert_eq!(order.hear_confirmed(1).await, ids(&sent));
    stays_pending("confirmed once", order.outcomes.recv()).await;
}

pub(super) async fn a_queue_keeps_what_comes_while_nobody_consumes(kind: &dyn BrokerUnderTest) {
    let brokers = kind.fresh(&Service::ALL, 10).await;
    let mut order = Voice::open(&brokers[&Service::Order]).await;
    drop(subscribe(&brokers[&Service::Inventory], 1).await);
    let sent = messages(EventType::OrderCreated, 5);
    order.say(&sent).await;
    let mut inventory = subscribe(&brokers[&Service::Inventory], 1).await;
    assert_eq!(take(&mut inventory, 5).await, numbers(0..5));
    assert_eq!(order.hear_confirmed(5).await, ids(&sent));
}

pub(super) async fn a_publisher_that_goes_away_harms_nobody(kind: &dyn BrokerUnderTest) {
    let brokers = kind.fresh(&Service::ALL, 3).await;
    let mut gone = Voice::open(&brokers[&Service::Order]).await;
    let sent = messages(EventType::OrderCreated, 3);
    gone.say(&sent).await;
    // It goes in the middle of a message for which there is no room.
    let one_more = messages(EventType::OrderCreated, 1);
    stays_pending("there is no room", gone.publisher.publish(one_more)).await;
    let Voice { publisher, mut outcomes } = gone;
    drop(publisher);

    let mut inventory = subscribe(&brokers[&Service::Inventory], 10).await;
    assert_eq!(take(&mut inventory, 3).await, numbers(0..3));
    let told = soon("the outcomes end with their publisher", async {
        let mut told = Vec::new();
        while let Some(outcome) = outcomes.recv().await {
            told.push(outcome.message_id);
        }
        told
    });
    assert!(told.await.iter().all(|message| ids(&sent).contains(message)));

    // It publishes again what it had no word of, and is told of that alone.
    let mut order = Voice::open(&brokers[&Service::Order]).await;
    order.say(&sent).await;
    assert_eq!(take(&mut inventory, 3).await, numbers(0..3));
    assert_eq!(order.hear_confirmed(3).await, ids(&sent));
    stays_pending("nothing else was delivered", inventory.recv()).await;
}
