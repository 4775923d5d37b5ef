//! The broker's part: for each service, one connection that publishes and one that consumes, as in the services.

use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use futures::{FutureExt as _, StreamExt as _, future::try_join_all, stream::FuturesOrdered};
use lapin::{
    BasicProperties, Channel, Confirmation, Connection, ConnectionProperties,
    options::{
        BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions,
        QueuePurgeOptions,
    },
    types::{FieldTable, LongUInt},
};
use shared_events::{Envelope, Service};
use uuid::Uuid;

use super::{
    gate::Gate,
    messages::{encode, published_by, received_by},
    run::Batch,
};

/// Maximum number of unconfirmed batches of a publisher.
const WINDOW: usize = 4;
/// Maximum number of unacknowledged deliveries of a consumer: enough for all unbundled messages of the open batches.
const PREFETCH: u16 = 2048;

struct Message {
    exchange: String,
    routing_key: &'static str,
    mandatory: bool,
    properties: BasicProperties,
    body: Vec<u8>,
}

/// Publishes the events of `service` for a batch of orders repeatedly, as the loop `index` of the gate. The messages
/// are encoded only once, because the broker is measured and not the encoding.
pub(super) async fn publish(
    url: String,
    service: Service,
    batch: Batch,
    skus: u64,
    index: usize,
    gate: Arc<Gate>,
) -> Result<()> {
    let mut messages = Vec::new();
    for events in published_by(service, batch.orders, skus)? {
        for message in events.chunks(batch.events_per_message) {
            messages.extend(copies(message)?);
        }
    }
    let connection = Connection::connect(&url, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    let mut unconfirmed = FuturesOrdered::new();
    let (mut number, mut open) = (0, true);
    while open || !unconfirmed.is_empty() {
        tokio::select! {
            more = gate.enter(number), if open && unconfirmed.len() < WINDOW => {
                open = more;
                if more {
                    unconfirmed.push_back(publish_all(&channel, &messages).boxed());
                    number += 1;
                }
            }
            Some(confirmed) = unconfirmed.next() => {
                confirmed?;
                gate.done(index);
            }
        }
    }
    drop(unconfirmed);
    connection.close(200, "OK".into()).await?;
    Ok(())
}

/// Publishes all messages, then waits for all confirms.
async fn publish_all(channel: &Channel, messages: &[Message]) -> Result<()> {
    let confirms = messages.iter().map(|message| async move {
        // An unroutable mandatory copy would be confirmed too, but returned before.
        let options = BasicPublishOptions { mandatory: message.mandatory, ..BasicPublishOptions::default() };
        let (exchange, key) = (message.exchange.clone().into(), message.routing_key.into());
        let published = channel.basic_publish(exchange, key, options, &message.body, message.properties.clone());
        let confirm = published.await?.await?;
        ensure!(matches!(confirm, Confirmation::Ack(None)), "a message was not taken: {confirm:?}");
        Ok(())
    });
    try_join_all(confirms).await.map(drop)
}

/// Consumes the queue of `service`, as the loop `index` of the gate. Acknowledges the messages of each batch of orders
/// together.
pub(super) async fn consume(url: String, service: Service, batch: Batch, index: usize, gate: Arc<Gate>) -> Result<()> {
    let connection = Connection::connect(&url, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    channel.basic_qos(PREFETCH, BasicQosOptions::default()).await?;
    let (queue, tag) = (service.name().into(), "baseline".into());
    let mut deliveries =
        channel.basic_consume(queue, tag, BasicConsumeOptions::default(), FieldTable::default()).await?;
    let each = batch.messages() * received_by(service);
    let mut received = 0;
    loop {
        let delivery = tokio::select! {
            delivery = deliveries.next() => delivery.context("the queue is consumed no more")??,
            () = gate.closed() => break,
        };
        received += 1;
        if received == each {
            delivery.acker.ack(BasicAckOptions { multiple: true }).await?;
            gate.done(index);
            received = 0;
        }
    }
    connection.close(200, "OK".into()).await?;
    Ok(())
}

/// Empties the queues of all services.
pub(super) async fn purge(url: &str) -> Result<()> {
    let connection = Connection::connect(url, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    // The unacknowledged messages of a consumer are requeued a moment after it is closed.
    let mut quiet = 0;
    while quiet < 3 {
        let mut purged = 0;
        for service in Service::ALL {
            purged += channel.queue_purge(service.name().into(), QueuePurgeOptions::default()).await?;
        }
        quiet = if purged == 0 { quiet + 1 } else { 0 };
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    connection.close(200, "OK".into()).await?;
    Ok(())
}

/// Returns the message with these events, of one type, as the services publish it, one copy for each consumer and one
/// for listeners: with the same exchanges, keys, body and properties.
fn copies(events: &[Envelope]) -> Result<impl Iterator<Item = Message> + use<>> {
    let first = events.first().context("a message without events")?;
    let flow = first.event.body.event_type().flow();
    let seconds = first.header.time.unix_micros().unsigned_abs() / 1_000_000;
    let properties = BasicProperties::default()
        .with_delivery_mode(2)
        .with_type(format!("order-system.{}.v1", flow.routing_key).into())
        .with_app_id(flow.publisher.name().into())
        .with_timestamp(seconds);
    let properties = if events.len() == 1 {
        properties
            .with_content_type("application/cloudevents+json".into())
            .with_message_id(first.header.id.0.to_string().into())
            .with_correlation_id(first.event.saga_id.0.to_string().into())
    } else {
        let mut headers = FieldTable::default();
        headers.insert("events".into(), LongUInt::try_from(events.len())?.into());
        properties
            .with_content_type("application/cloudevents-batch+json".into())
            .with_message_id(Uuid::now_v7().to_string().into())
            .with_headers(headers)
    };
    let body = encode(events)?.into_bytes();
    let consumers = flow.consumers.iter().map(|consumer| ("deliveries", consumer.name(), true));
    let copies = consumers.chain([("events", flow.routing_key, false)]);
    Ok(copies.map(move |(exchange, routing_key, mandatory)| Message {
        exchange: format!("{}.{exchange}", flow.publisher),
        routing_key,
        mandatory,
        properties: properties.clone(),
        body: body.clone(),
    }))
}
