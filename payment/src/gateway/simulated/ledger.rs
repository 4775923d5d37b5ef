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
/// request presupposes: money is not moved, so all that matters is that the service can go on.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    entries: HashMap<Reference, Entry>,
    /// The references, oldest first.
    order: VecDeque<Reference>,
}

#[derive(Debug, Clone)]
struct Entry {
    /// `None` for a payment of a version whose references do not say the amount.
    amount: Option<Money>,
    state: GatewayState,
    refunds: Vec<GatewayRefund>,
}

impl Ledger {
    pub(super) fn prepare(&mut self, reference: &Reference, amount: Money) {
        self.entry(reference, Some(amount), GatewayState::Prepared);
    }

    /// Authorizes, or declines for the reason `refused`.
    pub(super) fn authorize(
        &mut self,
        reference: &Reference,
        amount: Option<Money>,
        refused: Option<Decline>,
    ) -> Outcome<()> {
        let entry = self.entry(reference, amount, GatewayState::Prepared);
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

    pub(super) fn capture(&mut self, reference: &Reference, amount: Option<Money>) -> Outcome<()> {
        let entry = self.entry(reference, amount, GatewayState::Authorized);
        match &entry.state {
            GatewayState::Authorized | GatewayState::Captured => {
                entry.state = GatewayState::Captured;
                Outcome::Done(())
            }
            GatewayState::Voided => Outcome::declined(DeclineCode::Voided, "the payment is voided"),
            GatewayState::Expired => Outcome::declined(DeclineCode::Expired, "the authorization has expired"),
            GatewayState::Prepared | GatewayState::Declined(_) => {
                Outcome::declined(DeclineCode::NotAuthorized, "nothing is authorized")
            }
        }
    }

    pub(super) fn void(&mut self, reference: &Reference, amount: Option<Money>) -> Outcome<()> {
        let entry = self.entry(reference, amount, GatewayState::Authorized);
        match &entry.state {
            GatewayState::Captured => Outcome::declined(DeclineCode::AlreadyCaptured, "the amount is captured"),
            GatewayState::Prepared | GatewayState::Authorized => {
                entry.state = GatewayState::Voided;
                Outcome::Done(())
            }
            GatewayState::Declined(_) | GatewayState::Voided | GatewayState::Expired => Outcome::Done(()),
        }
    }

    pub(super) fn refund(
        &mut self,
        reference: &Reference,
        captured: Option<Money>,
        key: RefundKey,
        amount: Money,
    ) -> Outcome<()> {
        let entry = self.entry(reference, captured, GatewayState::Captured);
        if let Some(same) = entry.refunds.iter().find(|refund| refund.key == key) {
            return if same.amount == amount {
                Outcome::Done(())
            } else {
                Outcome::declined(DeclineCode::KeyReused, "the key was used for another amount")
            };
        }
        let refunded: i64 = entry.refunds.iter().map(|refund| refund.amount.minor_units()).sum();
        let fits = entry.amount.is_none_or(|captured| {
            captured.currency() == amount.currency()
                && refunded.saturating_add(amount.minor_units()) <= captured.minor_units()
        });
        if entry.state != GatewayState::Captured || !fits {
            return Outcome::declined(DeclineCode::OverCaptured, "more than is left of what was captured");
        }
        entry.refunds.push(GatewayRefund { key, amount });
        Outcome::Done(())
    }

    pub(super) fn get(&self, reference: &Reference) -> Option<GatewayPayment> {
        let Entry { amount, state, refunds } = self.entries.get(reference)?.clone();
        Some(GatewayPayment { reference: reference.clone(), amount: amount?, state, refunds })
    }

    /// Returns the payment with this key.
    pub(super) fn of_key(&self, key: PaymentKey) -> Option<GatewayPayment> {
        let is_of_key = |reference: &&Reference| Parts::of(reference).is_some_and(|parts| parts.key == key);
        let payments = self.order.iter().filter(is_of_key).filter_map(|reference| self.get(reference));
        payments.max_by_key(|payment| payment.state != GatewayState::Prepared)
    }

    /// Returns the payment, which is in `state` if it is not remembered.
    fn entry(&mut self, reference: &Reference, amount: Option<Money>, state: GatewayState) -> &mut Entry {
        if !self.entries.contains_key(reference) {
            if self.order.len() >= CAPACITY
                && let Some(oldest) = self.order.pop_front()
            {
                self.entries.remove(&oldest);
            }
            self.order.push_back(reference.clone());
        }
        self.entries.entry(reference.clone()).or_insert(Entry { amount, state, refunds: Vec::new() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_bounded_and_what_is_forgotten_goes_on() {
        let mut ledger = Ledger::default();
        let reference = |number: usize| Reference(format!("sim-{number}"));
        for number in 0..CAPACITY + 10 {
            assert_eq!(ledger.authorize(&reference(number), None, None), Outcome::Done(()));
        }
        assert_eq!((ledger.entries.len(), ledger.order.len()), (CAPACITY, CAPACITY));
        let amount = Money::parse("1", "USD".parse().unwrap()).unwrap();
        assert_eq!(ledger.get(&reference(0)), None);
        assert_eq!(ledger.capture(&reference(0), Some(amount)), Outcome::Done(()));
        assert_eq!(ledger.get(&reference(0)).unwrap().state, GatewayState::Captured);
    }
}
