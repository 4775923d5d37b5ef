//! Publishes over one channel and hears what became of each message.

use std::{
    pin::pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use async_trait::async_trait;
use futures::{
    FutureExt, StreamExt,
    future::{BoxFuture, OptionFuture},
    stream::FuturesUnordered,
};
use lapin::{
    Channel, Confirmation, Connection, Event,
    message::BasicReturnMessage,
    options::{BasicPublishOptions, ConfirmSelectOptions},
};
use shared_events::MessageId;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};
use tokio_util::task::TaskTracker;

use super::{
    connection::close,
    message::properties,
    topology::exchange,
    trouble::{During, Trouble},
    verdicts::Verdicts,
};
use crate::broker::{BrokerError, Outcome, Outgoing, Publication, Publisher, Verdict};

/// With more messages than these unconfirmed, a publisher waits. (The relay keeps below it by itself.)
const MOST_UNCONFIRMED: usize = 16_384;

/// From one proof of the verdicts to the next. Nobody waits for the verdicts but the deletion from the outbox, and each proof
/// is a way to the broker and back.
const BETWEEN_PROOFS: Duration = Duration::from_millis(25);

/// Opens the channel on `connection`, to the broker at `address`, and starts to work.
pub(super) async fn start(connection: Connection, address: String, tasks: &TaskTracker) -> lapin::Result<Publication> {
    let channel = connection.create_channel().await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    let (orders, taken) = mpsc::channel(1);
    let (outcomes, receiver) = mpsc::unbounded_channel();
    let end = Arc::new(OnceLock::new());
    let session = Session {
        connection,
        channel,
        orders: taken,
        outcomes,
        confirms: FuturesUnordered::new(),
        verdicts: Verdicts::default(),
        proof: None,
        next_proof: Instant::now(),
    };
    tasks.spawn(session.run(address.clone(), Arc::clone(&end)));
    Ok((Box::new(RabbitMqPublisher { orders, address, end }), receiver))
}

struct RabbitMqPublisher {
    orders: mpsc::Sender<Vec<Outgoing>>,
    address: String,
    /// Why the connection was lost.
    end: Arc<OnceLock<BrokerError>>,
}

#[async_trait]
impl Publisher for RabbitMqPublisher {
    async fn publish(&mut self, messages: Vec<Outgoing>) -> Result<(), BrokerError> {
        let handed_over = self.orders.send(messages).await;
        let closed = || Trouble::Lost("the connection is closed".to_owned()).at(&self.address);
        handed_over.map_err(|_| self.end.get().cloned().unwrap_or_else(closed))
    }
}

/// One connection's publishing, in one task: on one channel, two tasks could get each other's confirms.
struct Session {
    connection: Connection,
    channel: Channel,
    orders: mpsc::Receiver<Vec<Outgoing>>,
    outcomes: mpsc::UnboundedSender<Outcome>,
    confirms: FuturesUnordered<BoxFuture<'static, Confirm>>,
    verdicts: Verdicts,
    proof: Option<BoxFuture<'static, lapin::Result<()>>>,
    /// Not before.
    next_proof: Instant,
}

struct Confirm {
    message_id: MessageId,
    mandatory: bool,
    answer: lapin::Result<Confirmation>,
}

impl Session {
    async fn run(mut self, address: String, end: Arc<OnceLock<BrokerError>>) {
        if let Err(trouble) = self.work().await {
            let error = trouble.at(&address);
            tracing::warn!(%error, "the connection to the broker for publishing is lost");
            let _ = end.set(error);
        }
        let Self { connection, orders, outcomes, .. } = self;
        drop((orders, outcomes));
        close(connection).await;
    }

    /// Works until both sides of the publication are done with it, or until the connection is lost: then says why.
    async fn work(&mut self) -> Result<(), Trouble> {
        let mut events = pin!(self.connection.events_listener());
        let mut ordered = true;
        while ordered || !self.confirms.is_empty() || !self.verdicts.is_empty() {
            tokio::select! {
                order = self.orders.recv(), if ordered && self.confirms.len() < MOST_UNCONFIRMED => match order {
                    Some(messages) => messages.into_iter().try_for_each(|message| self.hand_over(message))?,
                    None => ordered = false,
                },
                Some(confirm) = self.confirms.next() => self.hear(confirm)?,
                Some(proof) = OptionFuture::from(self.proof.as_mut()) => {
                    self.proof = None;
                    proof.map_err(|error| lost(&error))?;
                    self.hear_what_is_there()?;
                    for outcome in self.verdicts.proved() {
                        self.tell(outcome);
                    }
                }
                () = sleep_until(self.next_proof), if self.verdicts.lack_a_proof() => self.ask_for_proof(),
                Some(event) = events.next() => self.notice(event)?,
                () = self.outcomes.closed() => return Ok(()),
            }
        }
        Ok(())
    }

    fn ask_for_proof(&mut self) {
        self.verdicts.ask_for_proof();
        self.next_proof = Instant::now() + BETWEEN_PROOFS;
        let channel = self.channel.clone();
        // Any request would do; this one changes nothing.
        self.proof = Some(async move { channel.confirm_select(ConfirmSelectOptions::default()).await }.boxed());
    }

    /// Puts a message into the connection's buffer. To wait here until it is written would cost a round through the
    /// connection's thread for each message, and for ever while the broker is blocked.
    fn hand_over(&mut self, message: Outgoing) -> Result<(), Trouble> {
        let channel = self.channel.clone();
        let properties = properties(&message);
        let Outgoing { message_id, publisher, routing_key, mandatory, body, .. } = message;
        let options = BasicPublishOptions { mandatory, ..BasicPublishOptions::default() };
        let mut confirm = async move {
            let (exchange, key) = (exchange(publisher).into(), routing_key.into());
            let answer = match channel.basic_publish(exchange, key, options, body.as_bytes(), properties).await {
                Ok(confirm) => confirm.await,
                Err(error) => Err(error),
            };
            Confirm { message_id, mandatory, answer }
        }
        .boxed();
        // The first poll takes the message's number and its place in the buffer, so the messages keep their order.
        match confirm.poll_unpin(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(confirm) => self.hear(confirm),
            Poll::Pending => {
                self.confirms.push(confirm);
                Ok(())
            }
        }
    }

    fn hear(&mut self, confirm: Confirm) -> Result<(), Trouble> {
        let Confirm { message_id, mandatory, answer } = confirm;
        match answer.map_err(|error| lost(&error))? {
            Confirmation::Ack(returned) => {
                self.came_back(returned);
                if mandatory {
                    self.verdicts.acknowledged(message_id);
                } else {
                    self.tell(Outcome { message_id, verdict: Verdict::Confirmed });
                }
            }
            Confirmation::Nack(returned) => {
                self.came_back(returned);
                self.tell(Outcome { message_id, verdict: Verdict::Refused });
            }
            Confirmation::NotRequested => return Err(Trouble::Lost("the channel does not confirm".to_owned())),
        }
        Ok(())
    }

    /// Hears all confirms that are resolved by now.
    fn hear_what_is_there(&mut self) -> Result<(), Trouble> {
        // The stream may stop before it is through; then it wakes whoever polls it.
        let more = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&more));
        loop {
            match self.confirms.poll_next_unpin(&mut Context::from_waker(&waker)) {
                Poll::Ready(Some(confirm)) => self.hear(confirm)?,
                Poll::Pending if more.0.swap(false, Ordering::AcqRel) => {}
                Poll::Ready(None) | Poll::Pending => return Ok(()),
            }
        }
    }

    fn came_back(&mut self, returned: Option<BasicReturnMessage>) {
        let Some(returned) = returned else { return };
        let id = returned.properties.message_id().as_ref().and_then(|id| id.as_str().parse().ok());
        match id {
            Some(id) => self.verdicts.returned(MessageId(id)),
            None => tracing::error!(reason = %returned.reply_text, "the broker returned a message that is not ours"),
        }
    }

    /// What happens to the connection as a whole.
    fn notice(&self, event: Event) -> Result<(), Trouble> {
        match event {
            // Also told of other channels, such as one that was refused a declaration.
            Event::Error(error) if !self.connection.status().connected() => return Err(lost(&error)),
            Event::ConnectionBlocked(reason) => {
                tracing::warn!(reason, "the broker takes no messages for the moment; they stay in the outbox");
            }
            Event::ConnectionUnblocked => tracing::info!("the broker takes messages again"),
            _ => {}
        }
        Ok(())
    }

    fn tell(&self, outcome: Outcome) {
        // Whoever does not listen any more publishes the message again.
        let _ = self.outcomes.send(outcome);
    }
}

fn lost(error: &lapin::Error) -> Trouble {
    Trouble::of(error, During::Working)
}

#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Release);
    }
}
