//! What every broker promises, written once, and each broker that is held to it.

mod conformance;
mod in_process;
mod sessions;

use std::{collections::HashMap, sync::Arc};

use async_trait::async_trait;
use service_kit::broker::{Broker, BrokerError, Outcome, Outgoing, Publisher, Subscription, Verdict};
use shared_events::{EventType, MessageId, Service};
use tokio::sync::mpsc::UnboundedReceiver;
use uuid::Uuid;

use crate::wait::soon;

/// One broker, as each service sees it.
pub(crate) type Brokers = HashMap<Service, Arc<dyn Broker>>;

/// A kind of broker that the suite can be run on.
#[async_trait]
pub(crate) trait BrokerUnderTest: Send + Sync {
    /// A new one with the queues of these `services`, all empty, which take `capacity` messages each.
    async fn fresh(&self, services: &[Service], capacity: usize) -> Brokers;
}

/// Makes a test of each function of the suite, run on `$broker`.
macro_rules! held_to_the_suite {
    ($broker:expr; $($module:ident: $($promise:ident)*;)*) => {
        $($(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $promise() {
                super::$module::$promise(&$broker).await;
            }
        )*)*
    };
}
use held_to_the_suite;

/// An open publisher and its outcomes.
pub(crate) struct Voice {
    publisher: Box<dyn Publisher>,
    outcomes: UnboundedReceiver<Outcome>,
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
    async fn hear(&mut self) -> (MessageId, Verdict) {
        let outcome = soon("an outcome", self.outcomes.recv()).await.expect("the connection is there");
        (outcome.message_id, outcome.verdict)
    }

    /// The next outcomes, all of which confirm; the messages in the order of their ids.
    pub(crate) async fn hear_confirmed(&mut self, count: usize) -> Vec<MessageId> {
        let mut confirmed = Vec::new();
        while confirmed.len() < count {
            let (message, verdict) = self.hear().await;
            assert_eq!(verdict, Verdict::Confirmed);
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

/// The broker inside the process.
pub(crate) async fn in_process(services: &[Service], capacity: usize) -> Brokers {
    in_process::InProcess.fresh(services, capacity).await
}

/// A message that says `body`.
fn message(event: EventType, body: impl ToString) -> Outgoing {
    let flow = event.flow();
    Outgoing {
        message_id: MessageId(Uuid::now_v7()),
        publisher: flow.publisher,
        routing_key: flow.routing_key,
        mandatory: !flow.consumers.is_empty(),
        correlation_id: Uuid::now_v7(),
        body: body.to_string().into(),
    }
}

/// So many messages, which say their numbers.
fn messages(event: EventType, count: usize) -> Vec<Outgoing> {
    (0..count).map(|number| message(event, number)).collect()
}

fn ids(messages: &[Outgoing]) -> Vec<MessageId> {
    messages.iter().map(|message| message.message_id).collect()
}
