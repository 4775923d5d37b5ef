//! The broker inside the process.

use std::sync::Arc;

use async_trait::async_trait;
use service_kit::broker::{Broker, BrokerError, InProcessBroker};
use shared_events::Service;

use super::{BrokerUnderTest, Brokers, held_to_the_suite, subscribe};

pub(crate) struct InProcess;

#[async_trait]
impl BrokerUnderTest for InProcess {
    async fn fresh(&self, services: &[Service], capacity: usize) -> Brokers {
        let brokers = InProcessBroker::for_services(services, capacity).into_iter();
        brokers.map(|(service, broker)| (service, Arc::new(broker) as Arc<dyn Broker>)).collect()
    }
}

held_to_the_suite! { InProcess;
    conformance:
        a_delivery_dropped_without_an_acknowledgement_comes_again
        a_consumer_holds_no_more_than_it_asked_for
        a_publisher_waits_while_the_queue_is_full
        confirmed_means_that_every_queue_answers_for_it
        only_a_mandatory_message_needs_a_queue
        each_queue_gets_what_the_flow_table_says_in_order
        the_order_is_kept;
    sessions:
        what_a_lost_consumer_held_goes_to_the_next_in_order
        an_acknowledgement_that_comes_too_late_costs_a_redelivery_and_no_more
        a_queue_keeps_what_comes_while_nobody_consumes
        a_publisher_that_goes_away_harms_nobody;
}

#[tokio::test]
async fn a_queue_has_one_consumer() {
    let brokers = InProcess.fresh(&[Service::Payment], 1).await;
    let first = subscribe(&brokers[&Service::Payment], 1).await;
    let second = brokers[&Service::Payment].subscribe(1).await;
    assert!(matches!(second, Err(BrokerError::Taken(Service::Payment))), "{second:?}");
    drop(first);
    subscribe(&brokers[&Service::Payment], 1).await;
}

#[tokio::test]
async fn it_gives_up_on_nothing() {
    let brokers = InProcess.fresh(&Service::ALL, 1).await;
    assert!(brokers[&Service::Payment].dead_letters(1).await.unwrap().is_none());
}
