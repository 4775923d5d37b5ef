//! The broker inside the process: what every broker promises, and what is its own.

use async_trait::async_trait;
use saga_memory_broker::InProcessBroker;
use saga_runtime::{broker::BrokerError, broker::PublishResult};
use shared_events::{EventType, Service};

use crate::{
    broker::{
        BrokerUnderTest, Brokers, Voice,
        conformance::{next, numbers, take, text},
        go_away, held_to_the_suite, ids, message, messages, subscribe,
    },
    wait::{soon, stays_pending},
};

/// One whose queues take `capacity` messages each.
pub(crate) fn in_process(services: &[Service], capacity: usize) -> Brokers {
    let names: Vec<&'static str> = services.iter().map(|service| service.name()).collect();
    let mut brokers = InProcessBroker::for_services(&names, capacity);
    let brokers = Service::ALL.into_iter().filter_map(|service| Some((service, brokers.remove(service.name())?)));
    Brokers::new(brokers.collect::<Vec<_>>(), ())
}

struct InProcess;

#[async_trait]
impl BrokerUnderTest for InProcess {
    /// With so little room that publishers have to wait.
    async fn fresh(&self, services: &[Service]) -> Brokers {
        in_process(services, 16)
    }

    /// Its queues are fixed: this is the next start of the process.
    async fn completed(&self, _brokers: Brokers) -> Brokers {
        in_process(&Service::ALL, 16)
    }
}

held_to_the_suite!(InProcess);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publisher_waits_while_the_queue_is_full() {
    let brokers = in_process(&Service::ALL, 4);
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn confirmed_means_committed_by_every_queue() {
    let brokers = in_process(&Service::ALL, 10);
    let mut order = subscribe(&brokers[&Service::Order], 10).await;
    let mut payment = subscribe(&brokers[&Service::Payment], 10).await;
    let mut inventory = Voice::open(&brokers[&Service::Inventory]).await;
    let sent = message(EventType::StockReserved, "fan-out");
    inventory.say(std::slice::from_ref(&sent)).await;
    let (at_order, at_payment) = (next(&mut order).await, next(&mut payment).await);
    assert_eq!((text(&at_order).as_str(), text(&at_payment).as_str()), ("fan-out", "fan-out"));
    assert!(brokers[&Service::Inventory].confirms_after_commit());
    stays_pending("nobody has committed it", inventory.hear()).await;
    at_order.receipt.acknowledge();
    stays_pending("one of two has not committed it", inventory.hear()).await;
    at_payment.receipt.acknowledge();
    assert_eq!(inventory.hear().await, (sent.message_id, PublishResult::Confirmed));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_lost_consumer_held_goes_to_the_next_in_its_order() {
    // Whether the deliveries go before the consumer or with it, and in which order, is chance in real life.
    for round in 0..30 {
        let brokers = in_process(&Service::ALL, 20);
        let mut order = Voice::open(&brokers[&Service::Order]).await;
        let sent = messages(EventType::OrderCreated, 12);
        order.say(&sent).await;
        let mut inventory = subscribe(&brokers[&Service::Inventory], 6).await;
        let mut held = Vec::new();
        for _ in 0..4 {
            held.push(next(&mut inventory).await);
        }
        held.remove(1).receipt.acknowledge();
        go_away(round, inventory, held);
        let mut inventory = subscribe(&brokers[&Service::Inventory], 20).await;
        let first = next(&mut inventory).await;
        assert_eq!(text(&first), "0", "round {round}");
        assert!(first.redeliveries >= 1, "it was delivered before");
        first.receipt.acknowledge();
        assert_eq!(take(&mut inventory, 10).await, numbers(2..12), "round {round}");
        assert_eq!(order.hear_confirmed(12).await, ids(&sent));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_acknowledgement_that_comes_too_late_costs_a_redelivery_and_no_more() {
    let brokers = in_process(&Service::ALL, 10);
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publisher_that_goes_away_in_the_middle_of_a_message_harms_nobody() {
    let brokers = in_process(&Service::ALL, 3);
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

#[tokio::test]
async fn a_queue_has_one_consumer() {
    let brokers = in_process(&[Service::Payment], 1);
    let first = subscribe(&brokers[&Service::Payment], 1).await;
    let second = brokers[&Service::Payment].subscribe(1).await;
    assert!(matches!(second, Err(BrokerError::Taken(_))), "{second:?}");
    drop(first);
    subscribe(&brokers[&Service::Payment], 1).await;
}

#[tokio::test]
async fn it_gives_up_on_nothing() {
    let brokers = in_process(&Service::ALL, 1);
    assert!(brokers[&Service::Payment].dead_letters(1).await.unwrap().is_none());
}
