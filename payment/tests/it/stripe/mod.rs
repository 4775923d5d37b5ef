//! The adapter to Stripe, at a fake of Stripe.

mod adapter;
mod faults;
mod service;

use std::time::Duration;

use payment::gateway::stripe::{ApiKey, StripeGateway};

use testkit::stripe::{API_KEY, FakeStripe};

/// Longer than any test takes: a call that no test makes fail never times out.
const TIMEOUT: Duration = Duration::from_secs(300);

/// The adapter, as the service builds it.
fn adapter(fake: &FakeStripe, timeout: Duration) -> StripeGateway {
    let (key, method) = (ApiKey::parse(API_KEY).unwrap(), Some("pm_card_visa".to_owned()));
    StripeGateway::new(&fake.url, key, method, timeout).unwrap()
}
