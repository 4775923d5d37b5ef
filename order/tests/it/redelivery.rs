//! Each event late, twice, and in every order: nothing changes that should not.

use rstest::rstest;
use serde_json::Value;
use shared_events::{Envelope, EventBody, EventType, FailureReason, Service, Sku};
use testkit::service::{
    DatabaseKind::{self, Postgres, Sqlite},
    Peer, caused_by,
};

use crate::harness::Harness;

fn declined() -> EventBody {
    EventBody::PaymentFailed { reason: FailureReason::PaymentDeclined }
}

fn rejected() -> EventBody {
    let item_sku = Sku::parse("SKU-ABC").unwrap();
    EventBody::StockReservationFailed { reason: FailureReason::InsufficientStock, item_sku }
}

fn publisher<'a>(harness: &'a mut Harness, envelope: &Envelope) -> &'a mut Peer {
    match envelope.event.body.event_type().flow().publisher {
        Service::Payment => &mut harness.payment,
        _ => &mut harness.inventory,
    }
}

/// The items in every order.
fn permutations(items: &[EventBody]) -> Vec<Vec<EventBody>> {
    let Some((first, rest)) = items.split_first() else { return vec![Vec::new()] };
    let insert = |order: Vec<EventBody>| {
        (0..=order.len()).map(move |place| {
            let mut order = order.clone();
            order.insert(place, first.clone());
            order
        })
    };
    permutations(rest).into_iter().flat_map(insert).collect()
}

/// How often this event is in an order's timeline.
async fn count(harness: &Harness, id: i64, event: &str) -> usize {
    harness.timeline(id).await.iter().filter(|name| *name == event).count()
}

#[rstest]
#[tokio::test]
async fn whatever_the_order_of_arrival_the_end_is_the_same_and_is_published_once(
    #[values(Sqlite, Postgres)] database: DatabaseKind,
) {
    let mut harness = Harness::start(database).await;
    for (story, end, payment, event) in [
        (vec![EventBody::StockReserved, EventBody::PaymentAuthorized], "CONFIRMED", "SUCCEEDED", "OrderConfirmed"),
        (vec![EventBody::StockReserved, declined(), EventBody::StockReleased], "FAILED", "FAILED", "OrderFailed"),
        (vec![rejected()], "FAILED", "NOT_ATTEMPTED", "OrderFailed"),
    ] {
        for order_of_arrival in permutations(&story) {
            let (id, created) = harness.place().await;
            let story: Vec<Envelope> = order_of_arrival.iter().map(|body| caused_by(&created, body.clone())).collect();
            for envelope in &story {
                // The message twice at once, and the same event in another message.
                let again = caused_by(&created, envelope.event.body.clone());
                publisher(&mut harness, envelope).publish_all([envelope, envelope, &again]).await;
            }
            assert_eq!(harness.status(id).await, (end.to_owned(), payment.to_owned()), "{order_of_arrival:?}");
            assert_eq!(count(&harness, id, event).await, 1, "{order_of_arrival:?}");
            for envelope in &story {
                let name = envelope.event.body.event_type().to_string();
                assert_eq!(count(&harness, id, &name).await, 2, "a message that comes twice is recorded once");
            }
        }
    }
    harness.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_cancellation_ends_the_same_in_every_order_of_its_answers(
    #[values(Sqlite, Postgres)] database: DatabaseKind,
) {
    let mut harness = Harness::start(database).await;
    let answers =
        [EventBody::StockReserved, EventBody::PaymentAuthorized, EventBody::StockReleased, EventBody::PaymentVoided];
    for order_of_arrival in permutations(&answers) {
        let (id, created) = harness.place().await;
        harness.cancel(id).await;
        for body in &order_of_arrival {
            let message = caused_by(&created, body.clone());
            publisher(&mut harness, &message).publish_all([&message, &message]).await;
        }
        let status = harness.status(id).await;
        assert_eq!(status, ("CANCELLED".to_owned(), "VOIDED".to_owned()), "{order_of_arrival:?}");
        assert_eq!(count(&harness, id, "OrderCancelled").await, 1, "{order_of_arrival:?}");
        assert_eq!(count(&harness, id, "OrderConfirmed").await, 0, "{order_of_arrival:?}");
    }
    harness.finish().await;
}

#[rstest]
#[tokio::test]
async fn nothing_that_comes_late_moves_an_order_that_has_ended(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let mut harness = Harness::start(database).await;
    let all = [
        EventBody::StockReserved,
        rejected(),
        EventBody::PaymentAuthorized,
        declined(),
        EventBody::StockReleased,
        EventBody::PaymentVoided,
    ];
    let mut ended: Vec<(Envelope, Value)> = Vec::new();
    for story in [
        vec![EventBody::StockReserved, EventBody::PaymentAuthorized],
        vec![EventBody::StockReserved, declined(), EventBody::StockReleased],
        vec![rejected()],
        vec![EventBody::OrderCancelled, EventBody::StockReleased, EventBody::PaymentVoided],
    ] {
        let (id, created) = harness.place().await;
        for body in story {
            if body == EventBody::OrderCancelled {
                harness.cancel(id).await;
                continue;
            }
            let message = caused_by(&created, body);
            publisher(&mut harness, &message).publish_all([&message]).await;
        }
        ended.push((created, harness.order(id).await));
    }
    harness.remaining_events().await;
    for (created, before) in &ended {
        let id = before["order_id"].as_i64().unwrap();
        let before_count = harness.timeline(id).await.iter().filter(|name| name.starts_with("Order")).count();
        for body in &all {
            let late = caused_by(created, body.clone());
            publisher(&mut harness, &late).publish_all([&late]).await;
        }
        assert_eq!(&harness.order(id).await, before, "also its times");
        let count_now = harness.timeline(id).await.iter().filter(|name| name.starts_with("Order")).count();
        assert_eq!(count_now, before_count, "{before}");
    }
    let (received, _) = harness.remaining_events().await;
    assert!(received.iter().all(|body| body.event_type() == EventType::PaymentFailed), "{received:?}");
    harness.finish().await;
}
