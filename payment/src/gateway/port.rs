use std::fmt;

use async_trait::async_trait;
use shared_events::Money;

use super::{GatewayPayment, Lookup, Outcome, PaymentRequest, Reference, RefundKey};

/// A payment gateway, which moves the money. Each implementation is an adapter to one provider.
///
/// A payment is first [prepared](Self::prepare), which charges nothing, and its reference is stored. Only then is it
/// authorized, captured or voided, by that reference. So whatever is charged belongs to a reference that a row has, and
/// a call whose answer was lost can be asked about. A capture returns the reference by which the payment is known and
/// refunded from then on: many providers have one for each capture.
///
/// Every call may be repeated, may run at the same time as others for the same payment, and may be abandoned by its
/// caller at any moment. After its time limit the caller treats the outcome as [`Outcome::Unknown`], and asks
/// [`lookup`](Self::lookup). [`conformance`](super::conformance) tests what is said here; an adapter has to pass it.
#[async_trait]
pub trait PaymentGateway: Send + Sync + fmt::Debug {
    /// Returns whether each call is answered when it is first polled, and moves nothing outside of this process. Then
    /// the service calls within the transaction of the event, and calls again if that is rolled back.
    fn is_immediate(&self) -> bool {
        false
    }

    /// Creates a payment and returns its reference. Charges nothing.
    ///
    /// - *Repeated*, also concurrently: the same key returns the same reference. With other content it is declined as
    ///   `KeyReused`, or returns the reference of the first.
    /// - *Repeated late*, after the gateway has forgotten the key: it may return another reference. That is harmless,
    ///   because the service keeps the first one that it stored, and nothing is charged for the other.
    /// - *Unknown*: repeat it.
    async fn prepare(&self, request: &PaymentRequest) -> Outcome<Reference>;

    /// Holds the amount on the customer's means of payment.
    ///
    /// - *Repeated or late*: done or declined as before; nothing more is held. The reference decides this, and not a
    ///   key that the gateway may forget.
    /// - *Voided before*: declined; nothing is held, ever.
    /// - *Unknown*: the amount may be held. Look it up: only `Prepared` may be authorized again.
    async fn authorize(&self, reference: &Reference) -> Outcome<()>;

    /// Takes the amount that is held, and returns the reference of the captured payment, which may be the same. Only
    /// that one is good for a refund; `lookup` goes on finding the payment by the earlier one, too.
    ///
    /// - *Repeated or late*, by the earlier reference: done, with the same answer; nothing more is taken.
    /// - *Nothing is held*: declined as `Expired`, `Voided` or `NotAuthorized`.
    /// - *Unknown*: look it up: only `Authorized` needs another call.
    async fn capture(&self, reference: &Reference) -> Outcome<Reference>;

    /// Gives up a payment that is not captured. Once it has returned `Done`, nothing is held, and no `authorize` or
    /// `capture` of the reference holds or takes anything, whether it began earlier or begins later.
    ///
    /// - *Repeated or late*, and if nothing is held: done.
    /// - *Captured*: declined as `AlreadyCaptured`.
    /// - *Unknown*: repeat it.
    async fn void(&self, reference: &Reference) -> Outcome<()>;

    /// Gives back a part of what was captured, or all of it. `reference` is the one that the capture returned.
    ///
    /// - *Repeated*, also concurrently: the same key refunds once; with another amount it is declined as `KeyReused`.
    /// - *Repeated late*: the same. If the gateway forgets keys, the adapter has to look for the refund among those of
    ///   the payment before it requests one.
    /// - *More than is left*: declined as `OverCaptured`.
    /// - *Unknown*: look the payment up; its refunds say whether it was done. Or repeat it.
    async fn refund(&self, reference: &Reference, key: RefundKey, amount: Money) -> Outcome<()>;

    /// Returns a payment as the gateway has it; `None` if it has none. Changes nothing, and is never declined. An
    /// unknown outcome is to be repeated.
    async fn lookup(&self, payment: Lookup<'_>) -> Outcome<Option<GatewayPayment>>;
}
