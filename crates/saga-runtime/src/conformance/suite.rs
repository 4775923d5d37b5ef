//! The list of promises, and how they are tested.

use std::fmt;

use futures::future::BoxFuture;

use super::{BrokerUnderTest, delivery, routing, sessions};

/// Creates a `#[test]` for each promise. The argument is an expression whose value is a
/// [`BrokerUnderTest`](crate::conformance::BrokerUnderTest). The tests have the names of the promises. See the module
/// [`conformance`](crate::conformance).
#[macro_export]
macro_rules! conformance_tests {
    // The list of the promises, by module. It is passed to the arm that the first token names.
    (@list $($then:tt)*) => {
        $crate::conformance_tests! { $($then)*
            delivery:
                a_dropped_delivery_comes_again
                a_consumer_holds_no_more_than_its_prefetch
                order_is_kept
                a_full_queue_makes_publishers_wait
                dead_letters_come_when_the_broker_says;
            routing:
                a_confirmed_message_is_in_every_queue
                a_message_whose_queue_is_missing_is_not_confirmed
                a_message_that_one_of_two_queues_misses_is_not_confirmed
                each_queue_gets_what_its_routes_say
                confirmations_come_when_the_broker_says;
            sessions:
                what_a_lost_consumer_held_goes_to_the_next
                a_late_acknowledgement_costs_one_redelivery_at_most
                a_queue_keeps_what_comes_while_nobody_consumes
                a_publisher_that_goes_away_harms_nobody
                a_second_consumer_shares_the_queue_or_is_refused;
        }
    };
    (@table $($module:ident: $($promise:ident)*;)*) => {
        &[$($(Promise { name: stringify!($promise), test: |broker| Box::pin($module::$promise(broker)) },)*)*]
    };
    (@tests $broker:expr; $($module:ident: $($promise:ident)*;)*) => {
        $($(
            #[test]
            fn $promise() {
                $crate::conformance::run(stringify!($promise), &$broker);
            }
        )*)*
    };
    ($broker:expr) => {
        $crate::conformance_tests! { @list @tests $broker; }
    };
}

/// All promises.
pub const PROMISES: &[Promise] = conformance_tests! { @list @table };

/// Something that every broker promises.
#[derive(Clone, Copy)]
pub struct Promise {
    name: &'static str,
    test: for<'a> fn(&'a dyn BrokerUnderTest) -> BoxFuture<'a, ()>,
}

impl Promise {
    /// Returns the promise with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        PROMISES.iter().copied().find(|promise| promise.name == name)
    }

    /// Returns its name, which states the promise.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Tests it. Requires a tokio runtime; [`run`] starts one.
    ///
    /// # Panics
    /// If the broker breaks it.
    pub async fn test(&self, broker: &dyn BrokerUnderTest) {
        (self.test)(broker).await;
    }
}

impl fmt::Debug for Promise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Promise").field(&self.name).finish()
    }
}

/// Tests the promise with this name on a tokio runtime of its own, as the tests of
/// [`conformance_tests!`](crate::conformance_tests) do.
///
/// # Panics
/// If the broker breaks the promise, or there is no promise with this name.
pub fn run(name: &str, broker: &dyn BrokerUnderTest) {
    let promise = Promise::named(name).unwrap_or_else(|| panic!("there is no promise of the name {name}"));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("the process may start threads").block_on(promise.test(broker));
}

/// Asserts that the bodies `came` are the `expected` ones: in this order if the broker keeps it, otherwise in any.
pub(super) fn assert_bodies(mut came: Vec<String>, mut expected: Vec<String>, keeps_order: bool) {
    if !keeps_order {
        came.sort();
        expected.sort();
    }
    let order = if keeps_order { "in this order" } else { "in any order" };
    assert_eq!(came, expected, "all that was published has to come once, {order}");
}
