//! A message that cannot be handled is dead-lettered, and blocks no other.

use rstest::rstest;
use saga_runtime::broker::Outgoing;
use shared_events::{EventBody, FailureReason};
use testkit::service::{
    DatabaseKind::{self, Postgres, Sqlite},
    TestDatabase,
};
use uuid::Uuid;

use crate::{
    counting_participant::{CANNOT_BE_SAVED, PANICS_WHEN_DECIDED, PANICS_WHEN_SAVED, UNACCEPTABLE},
    engine_harness::{EngineHarness, Plan, World, created, event, outgoing, raw},
};

#[rstest]
#[tokio::test]
async fn an_event_that_cannot_be_handled_is_dead_lettered_and_the_rest_of_its_batch_goes_on(
    #[values(Sqlite, Postgres)] database: DatabaseKind,
) {
    for (failure, reason) in [
        (UNACCEPTABLE, "it cannot be\u{fffd}"),
        (PANICS_WHEN_DECIDED, "the decision panicked"),
        (PANICS_WHEN_SAVED, "saving panicked"),
        (CANNOT_BE_SAVED, "the test spoilt it"),
    ] {
        let (storage, mut world) = (TestDatabase::create(database), World::begin().await);
        let engine = EngineHarness::start(&storage, world.participant_broker(), Plan::default()).await;
        let messages: Vec<_> = (1..=5).map(|order| created(order, if order == 3 { failure } else { 1 })).collect();
        engine.hold().await;
        world.order.publish(&messages).await;
        engine.script.gate.open();
        world.order.confirmed(5).await;

        let letters = engine.dead_letters().await;
        assert_eq!(letters.len(), 1, "{reason}");
        assert!(letters[0].reason.contains(reason), "{}", letters[0].reason);
        assert_eq!((letters[0].attempts, letters[0].subject.as_deref()), (1, Some("3")));
        assert_eq!(letters[0].event.as_deref(), Some("OrderCreated"));
        assert_eq!(letters[0].message_id, messages[2].message_id.0);
        assert_eq!(letters[0].body, messages[2].body.as_bytes());
        for order in 1..=5 {
            assert_eq!(engine.handled(order).await, i64::from(order != 3), "{reason}");
        }
        // It does not count as handled: if it is delivered again, it is tried again, and stays in the same row.
        assert_eq!(engine.in_the_inbox().await, 4);
        world.publish_and_wait(&messages[2..3]).await;
        assert_eq!(engine.dead_letters().await, letters);
        engine.finish().await;
    }
}

#[rstest]
#[tokio::test]
async fn what_a_failed_save_wrote_and_wanted_to_publish_is_gone(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let (storage, mut world) = (TestDatabase::create(database), World::begin().await);
    // Without a relay, the outbox keeps what was committed.
    let engine =
        EngineHarness::start(&storage, world.participant_broker(), Plan { relay: false, ..Plan::default() }).await;
    world
        .publish_and_wait(&[created(1, 1), created(2, CANNOT_BE_SAVED), created(3, PANICS_WHEN_SAVED), created(4, 1)])
        .await;
    let rows = [engine.handled(1).await, engine.handled(2).await, engine.handled(3).await, engine.handled(4).await];
    assert_eq!(rows, [1, 0, 0, 1]);
    assert_eq!((engine.in_the_outbox().await.len(), engine.outbox.depth()), (2, 2));
    assert_eq!(engine.dead_letters().await.len(), 2);
    engine.crash().await;
}

#[rstest]
#[tokio::test]
async fn what_cannot_be_read_is_dead_lettered(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let (storage, mut world) = (TestDatabase::create(database), World::begin().await);
    let engine = EngineHarness::start(&storage, world.participant_broker(), Plan::default()).await;
    let good = created(1, 1);
    let declined = EventBody::PaymentFailed { reason: FailureReason::PaymentDeclined };
    let of_payment = outgoing(event(1, 1, declined));
    let tens_of_megabytes = format!("[{}", "1,".repeat(5 * 1024 * 1024));
    let endless_type = good.body.replace("order.created", &"x".repeat(10 * 1024 * 1024));
    for (body, reason) in [
        ("", "not a CloudEvent in JSON"),
        ("no JSON\0", "not a CloudEvent in JSON"),
        ("[[[[[[[", "not an array of events in JSON"),
        ("[]", "not an array of events in JSON: it is empty"),
        ("{}", "not a CloudEvent in JSON: missing field"),
        (&"[".repeat(100_000), "not an array of events in JSON"),
        (&tens_of_megabytes, "not an array of events in JSON: more than 128 elements"),
        (&good.body.replace("order.created", "order.eaten"), "unknown event type"),
        (&endless_type, "unknown event type"),
        (&good.body.replace(".v1", ".v2"), "unknown version"),
        (&good.body.replace("\"quantity\":1", "\"quantity\":0"), "impossible content of OrderCreated"),
        (&good.body.replace("\"order_id\":1", "\"order_id\":-1"), "impossible content of OrderCreated"),
        (&good.body.replace("/order\"", "/payment\""), "impossible content of OrderCreated: its source"),
        (&of_payment.body.replace("PAYMENT_DECLINED", "UNKNOWN_ITEM"), "impossible content of PaymentFailed"),
    ] {
        let before = engine.dead_letters().await.len();
        let message = raw(body);
        world.publish_and_wait(std::slice::from_ref(&message)).await;
        let letters = engine.dead_letters().await;
        assert_eq!(letters.len(), before + 1, "{reason}");
        let filed = Uuid::new_v5(&Uuid::NAMESPACE_OID, body.as_bytes());
        let letter = letters.iter().find(|letter| letter.message_id == filed).unwrap();
        assert!(letter.reason.starts_with(reason), "{reason}: {}", letter.reason);
        assert!(letter.reason.ends_with(&format!("(message_id {})", message.message_id)), "{}", letter.reason);
        assert!(letter.reason.chars().count() <= 1_000, "a reason is for people");
        assert!(letter.body == body.as_bytes(), "{reason}: the body is kept as it came");
        assert_eq!((letter.attempts, letter.event.as_deref()), (1, None));
    }
    world.publish_and_wait(&[good]).await;
    assert_eq!((engine.handled(1).await, engine.in_the_inbox().await), (1, 1));
    engine.finish().await;
}

#[rstest]
#[tokio::test]
async fn two_unreadable_messages_with_one_id_are_two_letters_and_a_redelivery_is_none(
    #[values(Sqlite, Postgres)] database: DatabaseKind,
) {
    let (storage, mut world) = (TestDatabase::create(database), World::begin().await);
    let engine = EngineHarness::start(&storage, world.participant_broker(), Plan::default()).await;
    let first = raw("nonsense");
    let second = Outgoing { body: "other nonsense".into(), ..first.clone() };
    // In one batch, and one after the other.
    world.publish_and_wait(&[first.clone(), second.clone(), first.clone()]).await;
    world.publish_and_wait(std::slice::from_ref(&second)).await;
    let mut bodies: Vec<Vec<u8>> = engine.dead_letters().await.into_iter().map(|letter| letter.body).collect();
    bodies.sort();
    assert_eq!(bodies, [b"nonsense".to_vec(), b"other nonsense".to_vec()]);
    engine.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_letter_without_a_number_is_filed_under_its_content(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    // A broker need not know a message's id, and what cannot be read has none that could be trusted.
    let (storage, mut world) = (TestDatabase::create(database), World::begin().await);
    let broker = crate::scripted::nameless(world.participant_broker());
    let engine = EngineHarness::start(&storage, &broker, Plan::default()).await;
    world.publish_and_wait(&[raw("nonsense"), raw("nonsense"), raw("other nonsense")]).await;
    let mut letters: Vec<Uuid> = engine.dead_letters().await.into_iter().map(|letter| letter.message_id).collect();
    letters.sort();
    let mut expected = [&b"nonsense"[..], b"other nonsense"].map(|body| Uuid::new_v5(&Uuid::NAMESPACE_OID, body));
    expected.sort();
    assert_eq!(letters, expected);
    engine.finish().await;
}
