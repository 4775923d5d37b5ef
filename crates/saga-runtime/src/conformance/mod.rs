//! You wrote a [`Broker`](crate::broker::Broker); this tests that it does what the engine and the relay rely on.
//!
//! Enable the feature `conformance` in the `[dev-dependencies]` of the broker's crate, implement [`BrokerUnderTest`], which
//! makes an empty broker for each test, and let [`conformance_tests!`](crate::conformance_tests) make a `#[test]` of each
//! promise:
//!
//! ```
//! use async_trait::async_trait;
//! use saga_memory_broker::InProcessBroker;
//! use saga_message::ServiceSpec;
//! use saga_runtime::conformance::{BrokerUnderTest, Brokers, Capabilities, SERVICES};
//!
//! struct MyBroker;
//!
//! #[async_trait]
//! impl BrokerUnderTest for MyBroker {
//!     fn capabilities(&self) -> Capabilities {
//!         Capabilities { keeps_order: true, queue_capacity: Some(16), ..Capabilities::default() }
//!     }
//!
//!     async fn fresh(&self, services: &[ServiceSpec]) -> Brokers {
//!         let names: Vec<_> = services.iter().map(|service| service.name).collect();
//!         // `()`: nothing else has to live as long as the broker, such as a server or a temporary directory.
//!         Brokers::new(InProcessBroker::for_services(&names, 16), ())
//!     }
//!
//!     async fn with_all_queues(&self, _brokers: Brokers) -> Brokers {
//!         // A broker that stores nothing starts anew.
//!         self.fresh(&SERVICES).await
//!     }
//! }
//!
//! mod conformance {
//!     saga_runtime::conformance_tests!(super::MyBroker);
//! }
//! # saga_runtime::conformance::run("order_is_kept", &MyBroker);
//! # saga_runtime::conformance::run("a_message_whose_queue_is_missing_is_not_confirmed", &MyBroker);
//! ```
//!
//! [`Capabilities`] says what your broker can do beyond what all must. A promise that depends on one is tested in its weaker
//! form where the broker cannot: none is skipped. A promise that is broken panics with what was expected.
//!
//! The suite waits for states, up to [`TimeLimits::deadline`]. That something does not happen cannot be waited for; it watches
//! for [`TimeLimits::quiet`], so a slow fault may go unseen, but a broker that is right never fails.
//!
//! It does not test what happens when connections are lost or a server restarts, nor permissions, nor speed: that is different
//! for each broker. [`TestPublisher`] and [`TestConsumer`] are there for such tests of your own.

mod client;
mod delivery;
mod limits;
mod routing;
mod sessions;
mod suite;
mod system;
mod under_test;

pub use client::{TestConsumer, TestPublisher, body_text, ids};
pub use limits::TimeLimits;
pub use suite::{PROMISES, Promise, run};
pub use system::{
    AUDITED, AUDITOR, CANCELLED, CREATED, DONE, ROUTES, SENDER, SERVICES, WITHDRAWN, WORKER, message, numbered,
};
pub use under_test::{BrokerUnderTest, Brokers, Capabilities};
