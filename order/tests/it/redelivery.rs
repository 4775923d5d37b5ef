//! Each event late, twice, and in every order: nothing changes that should not.

use serde_json::Value;
use shared_events::{Envelope, EventBody, EventType, FailureReason, Service, Sku};

use crate::{
    harness::Harness,
    peer::{Neighbour, saying},
};

fn declined() -> EventBody {
    EventBody::PaymentFailed { reason: FailureReason::PaymentDeclined }
}

fn rejected() -> EventBody {
    let item_sku = Sku::parse("SKU-ABC").unwrap();
    EventBody::StockReservationFailed { reason: FailureReason::InsufficientStock, item_sku }
}

fn speaker<'a>(harness: &'a mut Harness, envelope: &Envelope) -> &'a mut Neighbour {
    match envelope.event.body.event_type().flow().publisher {
        Service::Payment => &mut harness.payment,
        _ => &mut harness.inventory,
    }
}

/// All orders of these.
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

#[tokio::test]
async fn whatever_the_order_of_arrival_the_end_is_the_same_and_is_told_once() {
    let mut harness = Harness::start().await;
    for (story, end, payment, told) in [
        (vec![EventBody::StockReserved, EventBody::PaymentAuthorized], "CONFIRMED", "SUCCEEDED", "OrderConfirmed"),
        (vec![EventBody::StockReserved, declined(), EventBody::StockReleased], "FAILED", "FAILED", "OrderFailed"),
        (vec![rejected()], "FAILED", "NOT_ATTEMPTED", "OrderFailed"),
    ] {
        for order_of_arrival in permutations(&story) {
            let (id, created) = harness.place().await;
            let story: Vec<Envelope> = order_of_arrival.iter().map(|body| saying(&created, body.clone())).collect();
            for envelope in &story {
                // The message twice in one breath, and the same said again in another message.
                let again = saying(&created, envelope.event.body.clone());
                speaker(&mut harness, envelope).repeat(&[envelope, envelope, &again]).await;
            }
            assert_eq!(harness.status(id).await, (end.to_owned(), payment.to_owned()), "{order_of_arrival:?}");
            assert_eq!(count(&harness, id, told).await, 1, "{order_of_arrival:?}");
            for envelope in &story {
                let name = envelope.event.body.event_type().to_string();
                assert_eq!(count(&harness, id, &name).await, 2, "a message that comes twice is recorded once");
            }
        }
    }
    harness.finish().await;
}

#[tokio::test]
async fn a_cancellation_ends_the_same_in_every_order_of_its_answers() {
    let mut harness = Harness::start().await;
    let answers =
        [EventBody::StockReserved, EventBody::PaymentAuthorized, EventBody::StockReleased, EventBody::PaymentVoided];
    for order_of_arrival in permutations(&answers) {
        let (id, created) = harness.place().await;
        harness.cancel(id).await;
        for body in &order_of_arrival {
            let said = saying(&created, body.clone());
            speaker(&mut harness, &said).repeat(&[&said, &said]).await;
        }
        let status = harness.status(id).await;
        assert_eq!(status, ("CANCELLED".to_owned(), "VOIDED".to_owned()), "{order_of_arrival:?}");
        assert_eq!(count(&harness, id, "OrderCancelled").await, 1, "{order_of_arrival:?}");
        assert_eq!(count(&harness, id, "OrderConfirmed").await, 0, "{order_of_arrival:?}");
    }
    harness.finish().await;
}

#[tokio::test]
async fn nothing_that_comes_late_moves_an_order_that_has_ended() {
    let mut harness = Harness::start().await;
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
            let said = saying(&created, body);
            speaker(&mut harness, &said).repeat(&[&said]).await;
        }
        ended.push((created, harness.order(id).await));
    }
    harness.heard_besides().await;
    for (created, before) in &ended {
        let id = before["order_id"].as_i64().unwrap();
        let told = harness.timeline(id).await.iter().filter(|name| name.starts_with("Order")).count();
        for body in &all {
            let late = saying(created, body.clone());
            speaker(&mut harness, &late).repeat(&[&late]).await;
        }
        assert_eq!(&harness.order(id).await, before, "also its times");
        let told_now = harness.timeline(id).await.iter().filter(|name| name.starts_with("Order")).count();
        assert_eq!(told_now, told, "{before}");
    }
    let (heard, _) = harness.heard_besides().await;
    assert!(heard.iter().all(|body| body.event_type() == EventType::PaymentFailed), "{heard:?}");
    harness.finish().await;
}
