use std::collections::{HashMap, VecDeque};

use shared_events::Money;

use super::{
    super::{Decline, DeclineCode, GatewayPayment, GatewayRefund, GatewayState, Outcome, Reference, RefundKey},
    reference::Parts,
};
use crate::domain::PaymentKey;

/// Maximum number of payments that are remembered, so that memory does not grow with the load.
const CAPACITY: usize = 16_384;

/// What happened to the last payments.
///
/// A payment that is not remembered, because it is old or another replica changed it, is taken to be as far as the
/// request presupposes: money is not moved, so all that matters is that the service can go on. For the same reason a
/// payment is captured if its reference says so, whatever is remembered: another replica has captured it.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    entries: HashMap<PaymentId, Entry>,
    /// The payments, oldest first.
    order: VecDeque<PaymentId>,
}

/// What a payment has in common with the references of all its states.
type PaymentId = (PaymentKey, Option<Money>);

#[derive(Debug, Clone)]
struct Entry {
    state: GatewayState,
    refunds: Vec<GatewayRefund>,
}

impl Ledger {
    pub(super) fn prepare(&mut self, parts: Parts) {
        self.entry(parts, GatewayState::Prepared);
    }

    /// Authorizes, or declines for the reason `refused`.
    pub(super) fn authorize(&mut self, parts: Parts, refused: Option<Decline>) -> Outcome<()> {
        let entry = self.entry(parts, GatewayState::Prepared);
        if entry.state == GatewayState::Prepared {
            entry.state = refused.map_or(GatewayState::Authorized, GatewayState::Declined);
        }
        match &entry.state {
            GatewayState::Declined(decline) => Outcome::Declined(decline.clone()),
            GatewayState::Voided => Outcome::declined(DeclineCode::Voided, "the payment is voided"),
            GatewayState::Expired => Outcome::declined(DeclineCode::Expired, "the authorization has expired"),
            GatewayState::Prepared | GatewayState::Authorized | GatewayState::Captured => Outcome::Done(()),
        }
    }

    /// Captures, and returns the reference that says so.
    pub(super) fn capture(&mut self, parts: Parts) -> Outcome<Reference> {
        let entry = self.entry(parts, GatewayState::Authorized);
        match &entry.state {
            GatewayState::Authorized | GatewayState::Captured => {
                entry.state = GatewayState::Captured;
                Outcome::Done(Parts { is_captured: true, ..parts }.reference())
            }
            GatewayState::Voided => Outcome::declined(DeclineCode::Voided, "the payment is voided"),
            GatewayState::Expired => Outcome::declined(DeclineCode::Expired, "the authorization has expired"),
            GatewayState::Prepared | GatewayState::Declined(_) => {
                Outcome::declined(DeclineCode::NotAuthorized, "nothing is authorized")
            }
        }
    }

    pub(super) fn void(&mut self, parts: Parts) -> Outcome<()> {
        let entry = self.entry(parts, GatewayState::Authorized);
        match &entry.state {
            GatewayState::Captured => Outcome::declined(DeclineCode::AlreadyCaptured, "the amount is captured"),
            GatewayState::Prepared | GatewayState::Authorized => {
                entry.state = GatewayState::Voided;
                Outcome::Done(())
            }
            GatewayState::Declined(_) | GatewayState::Voided | GatewayState::Expired => Outcome::Done(()),
        }
    }

    pub(super) fn refund(&mut self, parts: Parts, key: RefundKey, amount: Money) -> Outcome<()> {
        let entry = self.entry(parts, GatewayState::Captured);
        if let Some(same) = entry.refunds.iter().find(|refund| refund.key == key) {
            return if same.amount == amount {
                Outcome::Done(())
            } else {
                Outcome::declined(DeclineCode::KeyReused, "the key was used for another amount")
            };
        }
        let refunded: i64 = entry.refunds.iter().map(|refund| refund.amount.minor_units()).sum();
        let fits = parts.amount.is_none_or(|captured| {
            captured.currency() == amount.currency()
                && refunded.saturating_add(amount.minor_units()) <= captured.minor_units()
        });
        if entry.state != GatewayState::Captured || !fits {
            return Outcome::declined(DeclineCode::OverCaptured, "more than is left of what was captured");
        }
        entry.refunds.push(GatewayRefund { key, amount });
        Outcome::Done(())
    }

    /// Returns the payment, if it is remembered and its reference says the amount.
    pub(super) fn get(&self, parts: Parts) -> Option<GatewayPayment> {
        let Entry { state, refunds } = self.entries.get(&(parts.key, parts.amount))?.clone();
        let state = if parts.is_captured { GatewayState::Captured } else { state };
        let reference = Parts { is_captured: state == GatewayState::Captured, ..parts }.reference();
        Some(GatewayPayment { reference, amount: parts.amount?, state, refunds, failed_refunds: Vec::new() })
    }

    /// Returns the payment with this key.
    pub(super) fn of_key(&self, key: PaymentKey) -> Option<GatewayPayment> {
        let of_key = self.order.iter().filter(|(of, _)| *of == key);
        let payments = of_key.filter_map(|(key, amount)| self.get(Parts::prepared(*key, (*amount)?)));
        payments.max_by_key(|payment| payment.state != GatewayState::Prepared)
    }

    /// Returns the payment, which is in `state` if it is not remembered, and captured if its reference says so.
    fn entry(&mut self, parts: Parts, state: GatewayState) -> &mut Entry {
        let id = (parts.key, parts.amount);
        if !self.entries.contains_key(&id) {
            if self.order.len() >= CAPACITY
                && let Some(oldest) = self.order.pop_front()
            {
                self.entries.remove(&oldest);
            }
            self.order.push_back(id);
        }
        let entry = self.entries.entry(id).or_insert(Entry { state, refunds: Vec::new() });
        if parts.is_captured {
            entry.state = GatewayState::Captured;
        }
        entry
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn memory_is_bounded_and_what_is_forgotten_goes_on() {
        let mut ledger = Ledger::default();
        let amount = Money::parse("1", "USD".parse().unwrap()).unwrap();
        let parts = |number: usize| Parts::prepared(PaymentKey(Uuid::from_u128(number as u128)), amount);
        for number in 0..CAPACITY + 10 {
            assert_eq!(ledger.authorize(parts(number), None), Outcome::Done(()));
        }
        assert_eq!((ledger.entries.len(), ledger.order.len()), (CAPACITY, CAPACITY));
        assert_eq!(ledger.get(parts(0)), None);
        let Outcome::Done(reference) = ledger.capture(parts(0)) else { panic!("it is not captured") };
        let found = ledger.get(parts(0)).unwrap();
        assert_eq!((found.state, found.reference), (GatewayState::Captured, reference));
    }
}
