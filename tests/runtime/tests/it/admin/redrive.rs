//! Redriven dead letters.

use std::sync::atomic::Ordering;

use futures::future::{join, join_all};
use reqwest::Method;
use rstest::rstest;
use saga_database::tables::dead_letter;
use saga_runtime::{Redriven, broker::Outgoing};
use sea_orm::EntityTrait;
use serde_json::json;
use shared_events::{EventBody, FailureReason};
use testkit::service::{
    DatabaseKind::{self, Postgres, Sqlite},
    TestDatabase,
};
use uuid::Uuid;

use super::service_harness::ServiceHarness;
use crate::{
    counting_participant::{CANNOT_BE_SAVED, PANICS_WHEN_DECIDED, PANICS_WHEN_SAVED, UNACCEPTABLE},
    engine_harness::{EngineHarness, Plan, World, created, event, outgoing, raw},
    wait::{until, within_timeout},
};

fn report(handled: u64, failed_again: u64, postponed: u64, complete: bool) -> serde_json::Value {
    json!({"handled": handled, "failed_again": failed_again, "postponed": postponed, "complete": complete})
}

/// `PaymentFailed`, for which the counting participant makes an external call.
fn declined(order: i64) -> Outgoing {
    outgoing(event(order, 1, EventBody::PaymentFailed { reason: FailureReason::PaymentDeclined }))
}

#[rstest]
#[tokio::test]
async fn a_message_whose_cause_is_gone_is_handled_with_all_that_follows(
    #[values(Sqlite, Postgres)] database: DatabaseKind,
) {
    for failure in [UNACCEPTABLE, PANICS_WHEN_DECIDED, PANICS_WHEN_SAVED, CANNOT_BE_SAVED] {
        let (storage, mut world) = (TestDatabase::create(database), World::begin().await);
        let service = ServiceHarness::start(&storage, world.participant_broker()).await;
        let message = created(1, failure);
        let id = message.message_id.0;
        world.publish_and_wait(std::slice::from_ref(&message)).await;
        assert_eq!((service.handled(1).await, service.in_the_inbox().await), (0, 0));

        let (status, again) = service.redrive(id).await;
        assert_eq!((status, &again["outcome"]), (200, &json!("FAILED_AGAIN")));
        let list = service.list().await;
        assert_eq!((list.len(), &list[0]["attempts"], &list[0]["reason"]), (1, &json!(2), &again["reason"]));
        assert_eq!((service.handled(1).await, service.in_the_inbox().await), (0, 0));

        service.script.cured.store(true, Ordering::SeqCst);
        assert_eq!(service.redrive(id).await, (200, json!({"message_id": id, "outcome": "HANDLED"})));
        assert_eq!((service.handled(1).await, service.in_the_inbox().await), (1, 1));
        until("what it brings about is published", async || world.heard().len() == 1).await;

        // Redriven or delivered once more: it was handled once.
        assert_eq!(service.redrive(id).await.0, 404);
        world.publish_and_wait(&[message]).await;
        assert_eq!(service.handled(1).await, 1);
        service.finish(0).await;
    }
}

#[rstest]
#[tokio::test]
async fn a_dead_letter_that_was_handled_meanwhile_is_taken_out_and_not_handled_twice(
    #[values(Sqlite, Postgres)] database: DatabaseKind,
) {
    let (storage, mut world) = (TestDatabase::create(database), World::begin().await);
    let service = ServiceHarness::start(&storage, world.participant_broker()).await;
    let message = created(1, UNACCEPTABLE);
    world.publish_and_wait(std::slice::from_ref(&message)).await;
    service.script.cured.store(true, Ordering::SeqCst);
    world.publish_and_wait(std::slice::from_ref(&message)).await;
    assert_eq!((service.handled(1).await, service.list().await.len()), (1, 1));
    assert_eq!(service.redrive(message.message_id.0).await.1["outcome"], "HANDLED");
    assert_eq!(service.handled(1).await, 1);
    service.finish(0).await;
}

#[rstest]
#[tokio::test]
async fn poison_stays_dead_lettered_and_is_counted(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let (storage, mut world) = (TestDatabase::create(database), World::begin().await);
    let service = ServiceHarness::start(&storage, world.participant_broker()).await;
    let good = created(1, 1);
    let ten_megabytes = "x".repeat(10 * 1024 * 1024);
    let kinds = [
        ("", "not a CloudEvent"),
        ("no JSON\0", "not a CloudEvent"),
        (&ten_megabytes, "not a CloudEvent"),
        (&good.body.replace("order.created", "order.eaten"), "unknown event type"),
        (&good.body.replace(".v1", ".v2"), "unknown version"),
        (&good.body.replace("\"quantity\":1", "\"quantity\":0"), "impossible content"),
        (&good.body.replace("order.created", &ten_megabytes), "unknown event type"),
    ];
    let messages = kinds.map(|(body, _)| raw(body));
    world.publish_and_wait(&messages).await;
    let filed = |body: &str| Uuid::new_v5(&Uuid::NAMESPACE_OID, body.as_bytes());
    for (message, (body, reason)) in messages.iter().zip(kinds) {
        let (status, again) = service.redrive(filed(body)).await;
        assert_eq!((status, &again["outcome"]), (200, &json!("FAILED_AGAIN")));
        let again = again["reason"].as_str().unwrap();
        assert!(again.starts_with(reason), "{reason}: {again}");
        assert!(again.ends_with(&format!("(message_id {})", message.message_id)), "{again}");
    }
    assert_eq!(service.redrive_all().await, report(0, 7, 0, true));
    let letters = dead_letter::Entity::find().all(&service.database.reader()).await.unwrap();
    for (body, _) in kinds {
        let letter = letters.iter().find(|letter| letter.message_id == filed(body)).unwrap();
        assert_eq!(letter.attempts, 3);
        assert!(letter.body == body.as_bytes(), "its body is as it came");
    }
    service.finish(7).await;
}

#[rstest]
#[tokio::test]
async fn what_an_older_program_could_not_read_is_handled_under_its_own_id(
    #[values(Sqlite, Postgres)] database: DatabaseKind,
) {
    let (storage, mut world) = (TestDatabase::create(database), World::begin().await);
    let service = ServiceHarness::start(&storage, world.participant_broker()).await;
    let message = created(1, 1);
    let filed = Uuid::new_v5(&Uuid::NAMESPACE_OID, message.body.as_bytes());
    service.dead_letter(filed, message.body.as_bytes()).await;
    assert_eq!(service.redrive(filed).await, (200, json!({"message_id": filed, "outcome": "HANDLED"})));
    world.publish_and_wait(&[message]).await;
    assert_eq!((service.handled(1).await, service.in_the_inbox().await), (1, 1));
    service.finish(0).await;
}

#[rstest]
#[tokio::test]
async fn all_are_driven_page_by_page(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let (storage, mut world) = (TestDatabase::create(database), World::begin().await);
    let service = ServiceHarness::start(&storage, world.participant_broker()).await;
    // More than two pages, and every fifth message always fails.
    for order in 1..=600 {
        let message = created(order, 1);
        let body = if order % 5 == 0 { "nonsense" } else { &*message.body };
        service.dead_letter(message.message_id.0, body.as_bytes()).await;
    }
    assert_eq!(service.redrive_all().await, report(480, 120, 0, true));
    assert_eq!(service.in_the_inbox().await, 480);
    assert_eq!(service.redrive_all().await, report(0, 120, 0, true));
    assert_eq!(service.handled(1).await, 1);
    until("all that they brought about is published", async || world.heard().len() == 480).await;
    world.publish_and_wait(&[created(601, 1)]).await;
    service.finish(120).await;
}

#[rstest]
#[tokio::test]
async fn driven_often_at_once_and_by_two_replicas_it_is_handled_once(
    #[values(Sqlite, Postgres)] database: DatabaseKind,
) {
    let (storage, world) = (TestDatabase::create(database), World::begin().await);
    let one = ServiceHarness::start(&storage, world.participant_broker()).await;
    let other = ServiceHarness::start(&storage, world.participant_broker()).await;
    let messages: Vec<Outgoing> = (1..=20).map(|order| created(order, 1)).collect();
    for message in &messages {
        one.dead_letter(message.message_id.0, message.body.as_bytes()).await;
    }
    let singly = |service| {
        let messages = &messages;
        join_all(
            messages
                .iter()
                .map(move |message| async move { ServiceHarness::redrive(service, message.message_id.0).await.0 }),
        )
    };
    let (single, sweeps) = join(
        join(singly(&one), singly(&other)),
        join_all([&one, &other, &one, &other].map(ServiceHarness::redrive_all)),
    )
    .await;
    for status in single.0.into_iter().chain(single.1) {
        assert!([200, 404].contains(&status), "{status}");
    }
    for sweep in sweeps {
        assert_eq!((&sweep["failed_again"], &sweep["postponed"]), (&json!(0), &json!(0)), "{sweep}");
    }
    for order in 1..=20 {
        assert_eq!(one.handled(order).await, 1);
    }
    until("each is published once", async || world.heard().len() == 20).await;
    other.finish(0).await;
    one.finish(0).await;
}

#[rstest]
#[tokio::test]
async fn the_world_outside_is_asked_as_for_a_delivery(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let (storage, mut world) = (TestDatabase::create(database), World::begin().await);
    let service = ServiceHarness::start(&storage, world.participant_broker()).await;
    let message = declined(1);
    let id = message.message_id.0;
    service.dead_letter(id, message.body.as_bytes()).await;

    // If the call fails, the operator gets an error; the dead letter stays as it was.
    service.script.refusals.store(1, Ordering::SeqCst);
    let (status, problem) = service.redrive(id).await;
    assert_eq!((status, &problem["detail"]), (503, &json!("the gateway is away")));
    service.script.refusals.store(1, Ordering::SeqCst);
    assert_eq!(service.redrive_all().await, report(0, 0, 1, false));
    assert_eq!((service.handled(1).await, &service.list().await[0]["attempts"]), (0, &json!(1)));

    // The redrive waits for a slow answer, and blocks nothing else.
    service.script.world.shut();
    let asked = service.script.asked.load(Ordering::SeqCst);
    let others = async {
        until("it is asked", async || service.script.asked.load(Ordering::SeqCst) > asked).await;
        world.publish_and_wait(&[created(2, 1)]).await;
        assert_eq!((service.handled(1).await, service.handled(2).await), (0, 1));
        service.script.world.open();
    };
    let (answer, ()) = within_timeout("the answer", join(service.redrive(id), others)).await;
    assert_eq!(answer, (200, json!({"message_id": id, "outcome": "HANDLED"})));
    assert_eq!(service.handled(1).await, 1);
    service.finish(0).await;
}

#[rstest]
#[tokio::test]
async fn while_the_database_is_away_nothing_is_lost(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let (storage, world) = (TestDatabase::create(database), World::begin().await);
    let service = ServiceHarness::start(&storage, world.participant_broker()).await;
    let message = created(1, 1);
    let id = message.message_id.0;
    service.dead_letter(id, message.body.as_bytes()).await;
    service.script.away.store(true, Ordering::SeqCst);
    assert_eq!(service.redrive(id).await.0, 503);
    assert_eq!(service.redrive_all().await, report(0, 0, 1, false));
    assert_eq!(service.list().await[0]["attempts"], 1);
    service.script.away.store(false, Ordering::SeqCst);
    // The engine may still be idle.
    until("it is handled", async || service.redrive(id).await.0 == 200).await;
    assert_eq!(service.handled(1).await, 1);
    assert_eq!(service.ask(Method::GET, &format!("/admin/dead-letters/{id}")).await.0, 404);
    service.finish(0).await;
}

#[rstest]
#[tokio::test]
async fn a_caller_that_goes_away_changes_nothing(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let (storage, world) = (TestDatabase::create(database), World::begin().await);
    let service = ServiceHarness::start(&storage, world.participant_broker()).await;
    let message = created(1, 1);
    let id = message.message_id.0;
    service.dead_letter(id, message.body.as_bytes()).await;
    // The engine waits in the transaction, which has already deleted the dead letter; then the caller disconnects.
    service.script.gate.shut();
    let batches = service.script.batches.lock().unwrap().len();
    let at_the_gate = until("it is at the gate", async || service.script.batches.lock().unwrap().len() > batches);
    tokio::select! {
        _ = service.redrive(id) => panic!("the gate is shut"),
        () = at_the_gate => {}
    }
    assert_eq!(service.list().await.len(), 1, "nobody sees what is not committed");
    service.script.gate.open();
    until("it is handled although nobody waits", async || service.handled(1).await == 1).await;
    service.finish(0).await;
}

#[rstest]
#[tokio::test]
async fn a_crash_in_the_middle_leaves_it_dead_lettered(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let (storage, mut world) = (TestDatabase::create(database), World::begin().await);
    let engine = EngineHarness::start(&storage, world.participant_broker(), Plan::default()).await;
    world.publish_and_wait(&[created(1, UNACCEPTABLE)]).await;
    let letters = engine.dead_letters().await;
    engine.script.cured.store(true, Ordering::SeqCst);
    engine.script.gate.shut();
    let batches = engine.batches().len();
    tokio::select! {
        _ = engine.mailbox.redrive(&letters[0]) => panic!("the gate is shut"),
        () = until("it is at the gate", async || engine.batches().len() > batches) => {}
    }
    engine.crash().await;

    let engine = EngineHarness::start(&storage, world.participant_broker(), Plan::default()).await;
    assert_eq!(engine.dead_letters().await, letters);
    assert_eq!((engine.handled(1).await, engine.in_the_inbox().await), (0, 0));
    engine.script.cured.store(true, Ordering::SeqCst);
    assert_eq!(within_timeout("it is handled", engine.mailbox.redrive(&letters[0])).await, Ok(Redriven::Handled));
    assert_eq!((engine.handled(1).await, engine.dead_letters().await), (1, vec![]));
    engine.finish().await;
}

#[rstest]
#[tokio::test]
async fn what_was_discarded_while_it_was_read_is_not_handled(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let (storage, mut world) = (TestDatabase::create(database), World::begin().await);
    let engine = EngineHarness::start(&storage, world.participant_broker(), Plan::default()).await;
    let messages = [created(1, UNACCEPTABLE), raw("nonsense")];
    world.publish_and_wait(&messages).await;
    engine.script.cured.store(true, Ordering::SeqCst);
    for letter in engine.dead_letters().await {
        assert_eq!(within_timeout("it is discarded", engine.mailbox.discard(letter.message_id)).await, Ok(true));
        assert_eq!(within_timeout("it is refused", engine.mailbox.redrive(&letter)).await, Ok(Redriven::Gone));
    }
    assert_eq!((engine.handled(1).await, engine.in_the_inbox().await, engine.dead_letters().await), (0, 0, vec![]));
    // It does not count as handled: if it is delivered again, it is handled.
    world.publish_and_wait(&messages[..1]).await;
    assert_eq!(engine.handled(1).await, 1);
    engine.finish().await;
}
