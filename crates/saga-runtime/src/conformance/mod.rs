//! Tests for your own [`Broker`](crate::broker::Broker): whether it does what the engine and the relay rely on.
//!
//! Enable the feature `conformance` in the `[dev-dependencies]` of the broker's crate, implement [`BrokerUnderTest`],
//! which creates an empty broker for each test, and let [`conformance_tests!`](crate::conformance_tests) create a
//! `#[test]` for each promise:
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
//!         // This broker stores nothing, so a new one is as good as the old one.
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
//! [`Capabilities`] describes what your broker can do beyond what every broker must. If it lacks a capability that a
//! promise depends on, a weaker form of the promise is tested; no test is skipped. If a promise is broken, the test
//! panics with what was expected.
//!
//! The suite waits for states, at most [`TimeLimits::deadline`]. That something does not happen can only be watched for
//! some time, [`TimeLimits::quiet`]: so a slow fault may go unnoticed, but a correct broker never fails.
//!
//! The suite does not test lost connections, restarts of a server, permissions or speed, because those differ from
//! broker to broker. Use [`TestPublisher`] and [`TestConsumer`] for your own tests of them.

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
