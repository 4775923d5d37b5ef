//! What a batch that is rolled back leaves behind in the process.

use saga_database::Database;
use saga_runtime::Cause;
use shared_events::{Money, OrderId, SagaId};
use uuid::Uuid;

use super::*;
use crate::{
    domain::{NewPayment, Purpose, Task},
    gateway::{Asked, FailureRate, Question, SimulatedGateway},
    migration::Migrator,
};

fn at(second: u64) -> Timestamp {
    Timestamp::default().after(Duration::from_secs(second))
}

fn payment(number: u128) -> crate::domain::Payment {
    let new = NewPayment {
        payment_id: PaymentId(1),
        purpose: Purpose::Saga(SagaId(Uuid::from_u128(number))),
        order_id: OrderId(1),
        amount: Money::from_minor_units(100, "USD".parse().unwrap()).unwrap(),
    };
    let task = Some(Task { due_at: at(3_600), ..Task::new(None, at(0)) });
    crate::domain::Payment { task, ..new.into_payment(PaymentState::Requested, at(0)) }
}

fn payments() -> Payments {
    let gateway = SimulatedGateway::new(1_000, Duration::ZERO, FailureRate::default());
    Payments::new(Arc::new(gateway), Duration::from_secs(10), Arc::default())
}

#[tokio::test]
async fn a_gateway_without_io_answers_a_batch_of_any_size_at_once() {
    let payments = payments();
    for number in 0..1_000 {
        let question = Question::about(&payment(number)).unwrap();
        let asked = payments.calls.ask_at_once(&question);
        assert!(matches!(asked, Asked::Answer(_)), "question {number}: {asked:?}");
    }
}

#[tokio::test]
async fn what_an_earlier_process_was_asking_about_is_due_at_the_first_tick_that_is_committed() {
    let directory = tempfile::tempdir().unwrap();
    let database = Database::open_sqlite::<Migrator>(&directory.path().join("payment.sqlite")).await.unwrap();
    let (payments, asked) = (payments(), payment(1));
    let mut writes = Writes::default();
    writes.insert::<payments::Entity>(&[store::to_row(&asked)]);
    let transaction = database.begin().await.unwrap();
    writes.run(&transaction).await.unwrap();
    transaction.commit().await.unwrap();

    let tick = async |is_committed: bool| {
        let input = Input::new(at(1), Cause::new(), Payload::Command(Command::Tick));
        let transaction = database.begin().await.unwrap();
        let state = payments.load(&transaction, &[&input]).await.unwrap();
        let due = state.payments.get(&PaymentId(1)).is_some();
        if is_committed {
            transaction.commit().await.unwrap();
            payments.on_committed(state);
        } else {
            transaction.rollback().await.unwrap();
        }
        due
    };
    assert!(tick(false).await);
    assert!(tick(true).await, "the first attempt was rolled back");
}
