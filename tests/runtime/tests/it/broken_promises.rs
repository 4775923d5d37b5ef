//! The conformance suite finds each fault of the broken broker.

use saga_runtime::conformance::{PROMISES, Promise};

use crate::broken_broker::Fault;

mod without_a_fault {
    saga_runtime::conformance_tests!(super::Fault::None);
}

mod without_capabilities {
    saga_runtime::conformance_tests!(super::Fault::Weak);
}

/// One test for each line: a broker with this fault breaks this promise, and the suite fails with this message.
macro_rules! faults {
    ($($test:ident: $fault:ident breaks $promise:ident, $message:literal;)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                fails(Fault::$fault, stringify!($promise), $message).await;
            }
        )*

        /// The promises that these tests break.
        const BROKEN: &[&str] = &[$(stringify!($promise)),*];
    };
}

faults! {
    confirming_what_is_unroutable: ConfirmsUnroutable
        breaks a_message_whose_queue_is_missing_is_not_confirmed, "the queue of the worker is missing";
    confirming_for_one_of_two_queues: ConfirmsUnroutable
        breaks a_message_that_one_of_two_queues_misses_is_not_confirmed, "the queue of the auditor is missing";
    confirming_what_is_unroutable_without_reporting_it: WeakConfirmsUnroutable
        breaks a_message_whose_queue_is_missing_is_not_confirmed, "a queue is missing";
    confirming_for_one_of_two_queues_without_reporting_it: WeakConfirmsUnroutable
        breaks a_message_that_one_of_two_queues_misses_is_not_confirmed, "a queue is missing";
    confirming_before_the_commit: ConfirmsBeforeCommit
        breaks confirmations_come_when_the_broker_says, "neither consumer has acknowledged it";
    confirming_twice: ConfirmsTwice
        breaks a_late_acknowledgement_costs_one_redelivery_at_most, "it was confirmed already";
    reordering: Reorders
        breaks order_is_kept, "in this order";
    reordering_while_nobody_consumes: Reorders
        breaks a_queue_keeps_what_comes_while_nobody_consumes, "in this order";
    forgetting_the_second_consumer: ForgetsTheSecondConsumer
        breaks a_confirmed_message_is_in_every_queue, "in vain for a delivery";
    delivering_to_everybody: DeliversToEverybody
        breaks each_queue_gets_what_its_routes_say, "all that was published has to come once";
    publishing_twice: PublishesTwice
        breaks a_publisher_that_goes_away_harms_nobody, "three messages were published twice";
    never_being_full: NeverFull
        breaks a_full_queue_makes_publishers_wait, "a publisher waits while the queue is full";
    losing_what_comes_without_a_consumer: LosesWithoutConsumer
        breaks a_queue_keeps_what_comes_while_nobody_consumes, "in vain for a delivery";
    dropping_what_is_published_again: DropsRepublished
        breaks a_publisher_that_goes_away_harms_nobody, "in vain for all to be confirmed and delivered";
    exceeding_the_prefetch: ExceedsPrefetch
        breaks a_consumer_holds_no_more_than_its_prefetch, "a consumer with a prefetch of 2 holds 2 deliveries";
    never_redelivering: NeverRedelivers
        breaks a_dropped_delivery_comes_again, "in vain for a delivery";
    forgetting_acknowledgements: ForgetsAcknowledgements
        breaks a_dropped_delivery_comes_again, "what is acknowledged does not come again";
    counting_no_redeliveries: CountsNoRedeliveries
        breaks a_dropped_delivery_comes_again, "how often the message was delivered before";
    losing_ids: LosesIds
        breaks a_dropped_delivery_comes_again, "came with the id None";
    losing_what_a_lost_consumer_held: LosesWhatIsHeld
        breaks what_a_lost_consumer_held_goes_to_the_next, "in vain for a delivery";
    admitting_a_second_consumer: AdmitsSecondConsumer
        breaks a_second_consumer_shares_the_queue_or_is_refused, "the queue has a consumer already";
    having_dead_letters: HasDeadLetters
        breaks dead_letters_come_when_the_broker_says, "gives up on nothing has no dead letters";
}

async fn fails(fault: Fault, promise: &str, message: &str) {
    let promise = Promise::named(promise).unwrap();
    let failed = tokio::spawn(async move { promise.test(&fault).await }).await;
    let panic = failed.expect_err("the suite has to find the fault").into_panic();
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap();
    assert!(text.contains(message), "it says {text:?}");
}

#[test]
fn every_promise_can_fail() {
    for promise in PROMISES {
        assert!(BROKEN.contains(&promise.name()), "no fault here breaks {promise:?}");
    }
}
