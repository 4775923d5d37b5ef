//! What every broker promises, written once. Each broker is held to it by its own tests: the one in the process here, RabbitMQ
//! in the tests that need a server.

pub(crate) mod conformance;
pub(crate) mod sessions;

use std::{any::Any, collections::HashMap, ops::Index, sync::Arc};

use async_trait::async_trait;
use saga_runtime::{
    broker::Broker, broker::BrokerError, broker::Delivery, broker::Outcome, broker::Outgoing, broker::PublishResult,
    broker::Publisher, broker::Subscription,
};
use shared_events::{EventType, MessageId, Service};
use tokio::sync::mpsc::UnboundedReceiver;
use uuid::Uuid;

use crate::wait::soon;

/// One broker, as each service sees it.
pub(crate) struct Brokers {
    services: HashMap<Service, Arc<dyn Broker>>,
    /// What is to be kept for as long as the broker is used.
    #[allow(dead_code, reason = "only the tests with a server take it back")]
    pub(crate) rest: Box<dyn Any + Send + Sync>,
}

impl Brokers {
    pub(crate) fn new<B: Broker + 'static>(
        services: impl IntoIterator<Item = (Service, B)>,
        rest: impl Any + Send + Sync,
    ) -> Self {
        let services = services.into_iter().map(|(service, broker)| (service, Arc::new(broker) as Arc<dyn Broker>));
        Self { services: services.collect(), rest: Box::new(rest) }
    }
}

impl Index<&Service> for Brokers {
    type Output = Arc<dyn Broker>;

    fn index(&self, service: &Service) -> &Self::Output {
        &self.services[service]
    }
}

/// A kind of broker that the suite can be run on.
#[async_trait]
pub(crate) trait BrokerUnderTest: Send + Sync {
    /// A new one with the queues of these `services`, all empty, and no others: its users may declare nothing.
    async fn fresh(&self, services: &[Service]) -> Brokers;

    /// The same one with the queues of all services.
    async fn completed(&self, brokers: Brokers) -> Brokers;
}

/// Makes a test of each function of the suite, run on `$broker`.
macro_rules! held_to_the_suite {
    ($broker:expr) => {
        $crate::broker::held_to_the_suite! { $broker;
            conformance:
                a_delivery_dropped_without_an_acknowledgement_comes_again
                a_consumer_holds_no_more_than_it_asked_for
                what_is_confirmed_came_to_every_queue
                a_message_with_a_consumer_needs_its_queue
                what_one_of_two_consumers_cannot_get_is_not_confirmed
                each_queue_gets_what_the_flow_table_says
                the_order_is_kept;
            sessions:
                what_a_lost_consumer_held_goes_to_the_next
                an_acknowledgement_that_comes_late_costs_a_redelivery_at_most
                a_queue_keeps_what_comes_while_nobody_consumes
                a_publisher_that_goes_away_harms_nobody;
        }
    };
    ($broker:expr; $($module:ident: $($promise:ident)*;)*) => {
        $($(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $promise() {
                $crate::broker::$module::$promise(&$broker).await;
            }
        )*)*
    };
}
pub(crate) use held_to_the_suite;

/// An open publisher and its outcomes.
pub(crate) struct Voice {
    pub(crate) publisher: Box<dyn Publisher>,
    pub(crate) outcomes: UnboundedReceiver<Outcome>,
}

impl Voice {
    pub(crate) async fn open(broker: &Arc<dyn Broker>) -> Self {
        let (publisher, outcomes) = soon("a publisher", broker.publisher()).await.unwrap();
        Self { publisher, outcomes }
    }

    pub(crate) async fn say(&mut self, messages: &[Outgoing]) {
        soon("the messages are handed over", self.publisher.publish(messages.to_vec())).await.unwrap();
    }

    /// The next outcome.
    pub(crate) async fn hear(&mut self) -> (MessageId, PublishResult) {
        let outcome = soon("an outcome", self.outcomes.recv()).await.expect("the connection is there");
        (outcome.message_id, outcome.result)
    }

    /// The next outcomes, all of which confirm; the messages in the order of their ids.
    pub(crate) async fn hear_confirmed(&mut self, count: usize) -> Vec<MessageId> {
        let mut confirmed = Vec::new();
        while confirmed.len() < count {
            let (message, result) = self.hear().await;
            assert_eq!(result, PublishResult::Confirmed);
            confirmed.push(message);
        }
        confirmed.sort();
        confirmed
    }
}

/// Consumes, as soon as the consumer before is gone.
pub(crate) async fn subscribe(broker: &Arc<dyn Broker>, prefetch: usize) -> Subscription {
    soon("the queue has no other consumer", async {
        loop {
            match broker.subscribe(prefetch).await {
                Ok(subscription) => return subscription,
                Err(BrokerError::Taken(_)) => tokio::task::yield_now().await,
                Err(error) => panic!("{error}"),
            }
        }
    })
    .await
}

/// A message that says `body`.
pub(crate) fn message(event: EventType, body: impl ToString) -> Outgoing {
    let flow = event.flow();
    Outgoing {
        message_id: MessageId(Uuid::now_v7()),
        route: flow.route,
        correlation_id: Uuid::now_v7(),
        body: body.to_string().into(),
    }
}

/// So many messages, which say their numbers.
pub(crate) fn messages(event: EventType, count: usize) -> Vec<Outgoing> {
    (0..count).map(|number| message(event, number)).collect()
}

pub(crate) fn ids(messages: &[Outgoing]) -> Vec<MessageId> {
    messages.iter().map(|message| message.message_id).collect()
}

/// A consumer goes away with what it holds, in one way or another.
pub(crate) fn go_away(round: usize, consumer: Subscription, mut held: Vec<Delivery>) {
    match round % 3 {
        0 => drop((consumer, held)),
        1 => drop((held, consumer)),
        _ => {
            held.reverse();
            drop((consumer, held));
        }
    }
}
