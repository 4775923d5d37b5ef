//! The adapter to Stripe, by the HTTP API and without its SDK.
//!
//! A payment is a PaymentIntent with `capture_method=manual`. It is created without being confirmed, so its id, which
//! is the reference, is stored before anything is charged. To authorize is to confirm it, to void is to cancel it.
//!
//! Stripe forgets an idempotency key after 24 hours, and until then repeats whatever it has answered to it, also an
//! error 500. So no key decides here whether something is charged again. A PaymentIntent is charged once and cannot be
//! confirmed, captured or cancelled twice; it is read before each of these. A refund is requested only if the list of
//! the payment's refunds does not have its key, and always with the same idempotency key.

mod api_key;
mod client;
mod currency;
mod failure;
mod gateway;
mod signature;
mod state;
mod wire;

pub use api_key::{ApiKey, InvalidApiKey};
pub use currency::{AmountError, from_stripe, to_stripe};
pub use gateway::StripeGateway;
pub use signature::{SignatureError, WebhookSecret};
pub use wire::{WebhookSubject, subject_of_webhook};
