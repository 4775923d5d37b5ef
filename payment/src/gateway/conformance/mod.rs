//! The tests that every [`PaymentGateway`](super::PaymentGateway) has to pass. Whoever writes an adapter calls
//! [`check_all`] in a test, against a fake of the provider that keeps its books.
//!
//! Each check has payments of its own, so they may share one gateway. They do not sleep.

mod authorizing;
mod capturing;
mod faults;
mod refunding;
mod under_test;

pub use under_test::{GatewayUnderTest, Moved};

/// Runs all checks. They panic with what is wrong.
///
/// # Panics
/// If the gateway does not keep what [`PaymentGateway`](super::PaymentGateway) says.
pub async fn check_all(under_test: &dyn GatewayUnderTest) {
    authorizing::check(under_test).await;
    capturing::check(under_test).await;
    refunding::check(under_test).await;
    faults::check(under_test).await;
}
