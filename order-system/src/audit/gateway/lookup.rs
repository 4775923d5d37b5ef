use std::time::Duration;

use payment::{
    domain::Payment,
    gateway::{GatewayPayment, Lookup, Outcome, PaymentGateway, Reference},
};
use saga_support::Backoff;

/// How often the gateway is asked about the same payment, and the first and the longest pause between.
const ATTEMPTS: u32 = 5;
const PAUSES: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(5)];
/// The longest pause that the gateway may ask for.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// What the gateway says about a payment.
#[derive(Debug)]
pub(super) enum Found {
    /// It has this, or nothing.
    Payment(Option<Box<GatewayPayment>>),
    /// It has something that the adapter does not understand, for this reason.
    Unreadable(String),
}

/// The gateway does not answer, for this reason.
#[derive(Debug)]
pub(super) struct NoAnswer(pub(super) String);

/// Looks a payment up, several times if the gateway does not answer. `None` if it has no reference.
pub(super) async fn look_up(gateway: &dyn PaymentGateway, payment: &Payment) -> Result<Option<Found>, NoAnswer> {
    let Some(reference) = payment.reference.clone().map(Reference) else { return Ok(None) };
    let [first, longest] = PAUSES;
    let mut backoff = Backoff::growing(first, longest);
    let mut attempts = 1;
    loop {
        let (reason, after) = match gateway.lookup(Lookup::Reference(&reference)).await {
            Outcome::Done(found) => return Ok(Some(Found::Payment(found.map(Box::new)))),
            Outcome::Declined(decline) => return Ok(Some(Found::Unreadable(decline.detail))),
            Outcome::Unknown(reason) if attempts == ATTEMPTS => return Ok(Some(Found::Unreadable(reason))),
            Outcome::Unknown(reason) => (reason, None),
            Outcome::RetryLater { reason, after } => (reason, after),
        };
        if attempts == ATTEMPTS {
            return Err(NoAnswer(reason));
        }
        attempts += 1;
        tokio::time::sleep(backoff.next_pause().max(after.unwrap_or_default()).min(LONGEST_WAIT)).await;
    }
}
