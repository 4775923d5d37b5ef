//! The in-process broker: the conformance suite, and what only this broker does.

use async_trait::async_trait;
use saga_memory_broker::InProcessBroker;
use saga_message::ServiceSpec;
use saga_runtime::conformance::{
    BrokerUnderTest, Brokers, CREATED, Capabilities, SENDER, SERVICES, TestConsumer, TestPublisher, TimeLimits, WORKER,
    ids, numbered,
};
use shared_events::Service;

/// The capacity of a queue, in messages: so small that publishers have to wait in most tests.
const CAPACITY: usize = 16;

/// A broker whose queues have this capacity, in messages.
pub(crate) fn in_process(services: &[Service], capacity: usize) -> crate::broker::Brokers {
    crate::broker::Brokers::in_process(services, capacity)
}

pub(crate) struct InProcess;

#[async_trait]
impl BrokerUnderTest for InProcess {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            keeps_order: true,
            keeps_order_of_redeliveries: true,
            reports_unroutable: true,
            counts_redeliveries: true,
            keeps_message_ids: true,
            single_consumer: true,
            queue_capacity: Some(CAPACITY),
            dead_letters_after: None,
        }
    }

    async fn fresh(&self, services: &[ServiceSpec]) -> Brokers {
        let names: Vec<_> = services.iter().map(|service| service.name).collect();
        Brokers::new(InProcessBroker::for_services(&names, CAPACITY), ())
    }

    /// Its queues are fixed, so this returns a new broker, as at the next start of the process.
    async fn with_all_queues(&self, _brokers: Brokers) -> Brokers {
        self.fresh(&SERVICES).await
    }
}

saga_runtime::conformance_tests!(InProcess);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publisher_that_goes_away_in_the_middle_of_a_message_harms_nobody() {
    let limits = TimeLimits::default();
    let brokers = InProcess.fresh(&SERVICES).await;
    let (mut publisher, mut outcomes) = TestPublisher::open(&**brokers.of(SENDER), limits).await.into_parts();
    let sent = numbered(&CREATED, CAPACITY);
    publisher.publish(sent.clone()).await.unwrap();
    limits.stays_pending("there is no room", publisher.publish(numbered(&CREATED, 1))).await;
    drop(publisher);

    let mut worker = TestConsumer::open(&**brokers.of(WORKER), 10, limits).await;
    let bodies: Vec<_> = sent.iter().map(|message| message.body.to_string()).collect();
    assert_eq!(worker.take(CAPACITY).await, bodies);
    let confirmed = limits.wait_for("the outcomes to end with their publisher", async {
        let mut confirmed = Vec::new();
        while let Some(outcome) = outcomes.recv().await {
            confirmed.push(outcome.message_id);
        }
        confirmed
    });
    assert!(confirmed.await.iter().all(|message| ids(&sent).contains(message)));

    // It publishes again the messages whose outcomes it does not know, and receives only the outcomes of these.
    let mut sender = TestPublisher::open(&**brokers.of(SENDER), limits).await;
    sender.publish(&sent).await;
    assert_eq!(worker.take(CAPACITY).await, bodies);
    assert_eq!(sender.confirmed(CAPACITY).await, ids(&sent));
    worker.no_delivery("nothing else was published").await;
}

/// It confirms after its consumers' commits, which a graceful shutdown has to know.
#[tokio::test]
async fn it_confirms_after_the_commit() {
    let brokers = InProcess.fresh(&SERVICES).await;
    assert!(SERVICES.iter().all(|service| brokers.of(service.name).confirms_after_commit()));
}
