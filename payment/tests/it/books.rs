//! The books of the scripted gateway: what was charged, whatever the service believes.

use std::collections::HashMap;

use payment::{
    domain::PaymentKey,
    gateway::{
        Decline, DeclineCode, GatewayPayment, GatewayRefund, GatewayState, Lookup, Outcome, PaymentRequest, Reference,
        RefundKey, conformance::Moved,
    },
};
use shared_events::{Money, PaymentMethod};

#[derive(Debug, Default)]
pub(crate) struct Books {
    /// In the order in which they were prepared.
    payments: Vec<Entry>,
    by_reference: HashMap<Reference, usize>,
    /// The keys that are not forgotten.
    keys: HashMap<PaymentKey, Reference>,
    refund_keys: HashMap<RefundKey, Money>,
}

#[derive(Debug)]
struct Entry {
    key: PaymentKey,
    method: Option<PaymentMethod>,
    payment: GatewayPayment,
    /// How often an amount was held for it.
    charges: usize,
}

impl Books {
    pub(crate) fn prepare(&mut self, request: &PaymentRequest) -> Outcome<Reference> {
        if let Some(reference) = self.keys.get(&request.key) {
            let same = self.find(reference).is_some_and(|known| known.payment.amount == request.amount);
            return match same {
                true => Outcome::Done(reference.clone()),
                false => Outcome::declined(DeclineCode::KeyReused, "the key was used for another payment"),
            };
        }
        let of_key = |number: &usize| self.by_reference.contains_key(&reference_of(request.key, *number));
        let earlier = (0..).take_while(of_key).count();
        let reference = reference_of(request.key, earlier);
        let payment = GatewayPayment {
            reference: reference.clone(),
            amount: request.amount,
            state: GatewayState::Prepared,
            refunds: Vec::new(),
            failed_refunds: Vec::new(),
        };
        self.by_reference.insert(reference.clone(), self.payments.len());
        self.payments.push(Entry { key: request.key, method: request.method.clone(), payment, charges: 0 });
        self.keys.insert(request.key, reference.clone());
        Outcome::Done(reference)
    }

    pub(crate) fn authorize(&mut self, reference: &Reference) -> Outcome<()> {
        let Some(Entry { payment, charges, .. }) = self.find_mut(reference) else { return not_found() };
        if payment.state == GatewayState::Prepared {
            payment.state = if payment.amount.minor_units() < 100_000 {
                *charges += 1;
                GatewayState::Authorized
            } else {
                let detail = "over the limit".to_owned();
                GatewayState::Declined(Decline { code: DeclineCode::Refused, detail })
            };
        }
        match &payment.state {
            GatewayState::Authorized | GatewayState::Captured => Outcome::Done(()),
            GatewayState::Declined(decline) => Outcome::Declined(decline.clone()),
            state => Outcome::declined(DeclineCode::Voided, format!("it is {state:?}")),
        }
    }

    /// Captures. As with some providers, the capture has a reference of its own, which alone is good for refunds.
    pub(crate) fn capture(&mut self, reference: &Reference) -> Outcome<Reference> {
        let Some(index) = self.by_reference.get(reference).copied() else { return not_found() };
        let payment = &mut self.payments[index].payment;
        match payment.state {
            GatewayState::Authorized => {
                payment.state = GatewayState::Captured;
                payment.reference = Reference(format!("capture-of-{reference}"));
                self.by_reference.insert(payment.reference.clone(), index);
                Outcome::Done(payment.reference.clone())
            }
            GatewayState::Captured => Outcome::Done(payment.reference.clone()),
            GatewayState::Voided => Outcome::declined(DeclineCode::Voided, "it is voided"),
            GatewayState::Expired => Outcome::declined(DeclineCode::Expired, "it has expired"),
            _ => Outcome::declined(DeclineCode::NotAuthorized, "nothing is authorized"),
        }
    }

    pub(crate) fn void(&mut self, reference: &Reference) -> Outcome<()> {
        let Some(Entry { payment, .. }) = self.find_mut(reference) else { return not_found() };
        match payment.state {
            GatewayState::Captured => return Outcome::declined(DeclineCode::AlreadyCaptured, "it is captured"),
            GatewayState::Prepared | GatewayState::Authorized => payment.state = GatewayState::Voided,
            _ => {}
        }
        Outcome::Done(())
    }

    pub(crate) fn refund(&mut self, reference: &Reference, key: RefundKey, amount: Money) -> Outcome<()> {
        let known = self.refund_keys.get(&key).copied();
        let Some(Entry { payment, .. }) = self.find_mut(reference) else { return not_found() };
        if payment.state == GatewayState::Captured && payment.reference != *reference {
            return not_found();
        }
        let done = payment.refunds.iter().find(|refund| refund.key == key).map(|refund| refund.amount);
        match known.or(done) {
            Some(known) if known == amount => return Outcome::Done(()),
            Some(_) => return Outcome::declined(DeclineCode::KeyReused, "another amount"),
            None => {}
        }
        let refunded: i64 = payment.refunds.iter().map(|refund| refund.amount.minor_units()).sum();
        let left = payment.amount.minor_units() - refunded;
        if payment.state != GatewayState::Captured || amount.minor_units() > left {
            return Outcome::declined(DeclineCode::OverCaptured, "more than is left");
        }
        payment.refunds.push(GatewayRefund { key, amount });
        self.refund_keys.insert(key, amount);
        Outcome::Done(())
    }

    pub(crate) fn lookup(&self, payment: Lookup<'_>) -> Option<GatewayPayment> {
        let entry = match payment {
            Lookup::Reference(reference) => self.find(reference),
            Lookup::Key(key) => {
                let of_key = self.payments.iter().filter(|entry| entry.key == key);
                of_key.max_by_key(|entry| entry.payment.state != GatewayState::Prepared)
            }
        };
        entry.map(|entry| entry.payment.clone())
    }

    pub(crate) fn expire(&mut self, key: PaymentKey) {
        let of_key = self.payments.iter_mut().filter(|entry| entry.key == key);
        of_key.for_each(|entry| entry.payment.state = GatewayState::Expired);
    }

    pub(crate) fn forget_keys(&mut self) {
        self.keys.clear();
        self.refund_keys.clear();
    }

    /// How often an amount was held for this key.
    pub(crate) fn charges(&self, key: PaymentKey) -> usize {
        self.payments.iter().filter(|entry| entry.key == key).map(|entry| entry.charges).sum()
    }

    /// The means of payment of the first payment with this key.
    pub(crate) fn method(&self, key: PaymentKey) -> Option<PaymentMethod> {
        self.payments.iter().find(|entry| entry.key == key)?.method.clone()
    }

    pub(crate) fn moved(&self, key: PaymentKey) -> Moved {
        let mut moved = Moved::default();
        for Entry { payment, .. } in self.payments.iter().filter(|entry| entry.key == key) {
            match payment.state {
                GatewayState::Authorized => moved.held += payment.amount.minor_units(),
                GatewayState::Captured => moved.captured += payment.amount.minor_units(),
                _ => {}
            }
            moved.refunded += payment.refunds.iter().map(|refund| refund.amount.minor_units()).sum::<i64>();
        }
        moved
    }

    fn find(&self, reference: &Reference) -> Option<&Entry> {
        self.by_reference.get(reference).map(|index| &self.payments[*index])
    }

    fn find_mut(&mut self, reference: &Reference) -> Option<&mut Entry> {
        self.by_reference.get(reference).map(|index| &mut self.payments[*index])
    }
}

/// The reference of the first payment with this key, and of those after it.
fn reference_of(key: PaymentKey, earlier: usize) -> Reference {
    Reference(if earlier == 0 { format!("auth-{}", key.0) } else { format!("auth-{}-{}", key.0, earlier + 1) })
}

fn not_found<T>() -> Outcome<T> {
    Outcome::declined(DeclineCode::NotFound, "no such payment")
}
