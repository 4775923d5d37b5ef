//! The rules for one payment and what the gateway has of it: pure functions. `docs/payments.md` says what to do about
//! each difference.

use std::collections::BTreeMap;

use payment::{
    domain::{Payment, RefundState, State},
    gateway::{GatewayPayment, GatewayState},
};
use shared_events::{Money, RefundId};

/// A difference between the row of a payment and the gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Whether the gateway holds, has taken or has given back money that the row does not account for.
    pub is_unaccounted: bool,
    /// What the row says, what the gateway says, and what to do.
    pub text: String,
}

impl Difference {
    fn unaccounted(text: String) -> Self {
        Self { is_unaccounted: true, text }
    }

    fn other(text: String) -> Self {
        Self { is_unaccounted: false, text }
    }

    pub(super) fn unreadable(reason: &str) -> Self {
        Self::other(format!("what the gateway has cannot be compared: {reason}"))
    }
}

/// Returns how the gateway differs from a payment that has a reference. A question that is under way is no difference,
/// whether the gateway has acted on it or not.
#[must_use]
pub fn of_payment(payment: &Payment, found: Option<&GatewayPayment>) -> Vec<Difference> {
    let Some(found) = found else {
        let text =
            format!("the row is {}, and the gateway does not know its reference: look for it there", payment.state);
        return vec![Difference::other(text)];
    };
    let differences = of_state(payment, found).into_iter().chain(of_amount(payment, found));
    differences.chain(of_refunds(payment, found)).collect()
}

fn of_state(payment: &Payment, found: &GatewayPayment) -> Option<Difference> {
    use GatewayState::{Authorized, Captured, Declined, Expired, Prepared, Voided};
    let (state, amount) = (&payment.state, found.amount);
    let taken = |advice: &str| {
        Some(Difference::unaccounted(format!("the row is {state}, and the gateway has taken {amount}: {advice}")))
    };
    match (state, &found.state) {
        (State::Authorized, Authorized) | (State::Captured, Captured) => None,
        // Under way: the answer says what becomes of the row.
        (State::Requested | State::Voiding, Prepared | Authorized | Declined(_) | Voided | Expired)
        | (State::Capturing, _) => None,
        (
            State::CaptureFailed(_) | State::Declined(_) | State::Voided | State::Cancelled,
            Prepared | Declined(_) | Voided | Expired,
        ) => None,
        // Nothing here captures or voids what a client has authorized: it ends at the gateway.
        (State::Authorized, Voided | Expired) if payment.saga_id().is_none() => None,
        (State::CaptureFailed(_), Captured) => {
            taken("note it with the order, or refund it there if the customer has paid in another way")
        }
        (
            State::Requested
            | State::Authorized
            | State::Declined(_)
            | State::Voiding
            | State::Voided
            | State::Cancelled,
            Captured,
        ) => taken("nobody here has asked for that; refund it there, unless its order is confirmed"),
        (State::CaptureFailed(_) | State::Declined(_) | State::Voided | State::Cancelled, Authorized) => {
            let text = format!("the row is {state}, and the gateway holds {amount}: cancel it there");
            Some(Difference::unaccounted(text))
        }
        (State::Captured, Authorized) => Some(Difference::other(format!(
            "the row is {state}, and the gateway only holds {amount}: capture it there before it expires"
        ))),
        (State::Authorized | State::Captured, Prepared | Declined(_) | Voided | Expired) => {
            let (has, advice) = match state {
                State::Captured => ("taken", "charge the customer in another way"),
                _ => ("held", "its capture will fail"),
            };
            let says = name(&found.state);
            let text = format!("the row is {state}, and nothing is {has} at the gateway, where it is {says}: {advice}");
            Some(Difference::other(text))
        }
    }
}

fn name(state: &GatewayState) -> &'static str {
    match state {
        GatewayState::Prepared => "not authorized",
        GatewayState::Declined(_) => "declined",
        GatewayState::Authorized => "authorized",
        GatewayState::Captured => "captured",
        GatewayState::Voided => "voided",
        GatewayState::Expired => "expired",
    }
}

fn of_amount(payment: &Payment, found: &GatewayPayment) -> Option<Difference> {
    let (ours, theirs) = (payment.amount, found.amount);
    if ours == theirs {
        return None;
    }
    let text = format!("the row has the amount {ours}, and the gateway {theirs}: it is the gateway's that has moved");
    let is_less = ours.currency() == theirs.currency() && theirs.minor_units() < ours.minor_units();
    let has_moved = matches!(found.state, GatewayState::Authorized | GatewayState::Captured);
    Some(if has_moved && !is_less { Difference::unaccounted(text) } else { Difference::other(text) })
}

fn of_refunds(payment: &Payment, found: &GatewayPayment) -> Vec<Difference> {
    let mut at_gateway: BTreeMap<RefundId, Vec<Money>> = BTreeMap::new();
    for refund in &found.refunds {
        at_gateway.entry(RefundId(refund.key.0)).or_default().push(refund.amount);
    }
    let missing = payment.refunds.iter().filter(|one| one.state == RefundState::Refunded).filter_map(|refund| {
        let (id, amount) = (refund.details.refund_id, refund.details.amount);
        let failed = found.failed_refunds.iter().find(|failed| RefundId(failed.key.0) == id);
        let has =
            failed.map_or("no such refund".to_owned(), |failed| format!("that it has failed ({})", failed.reason));
        (!at_gateway.contains_key(&id)).then(|| {
            let row = format!("the row has the refund {id} of {amount} as done");
            Difference::other(format!("{row}, and the gateway has {has}: the customer has not got it"))
        })
    });
    let missing: Vec<_> = missing.collect();
    let given = at_gateway.iter().flat_map(|(id, amounts)| of_refund(payment, *id, amounts));
    given.chain(missing).collect()
}

/// Returns how what the gateway has given back by this key differs from the row.
fn of_refund(payment: &Payment, id: RefundId, amounts: &[Money]) -> Vec<Difference> {
    let unaccounted = |text: String| Difference::unaccounted(text);
    let Some(refund) = payment.refund(id) else {
        let text = |amount| format!("the gateway has given back {amount} by a refund that the row does not have");
        return amounts.iter().map(|amount| unaccounted(text(amount))).collect();
    };
    let ours = refund.details.amount;
    let mut differences = Vec::new();
    if let RefundState::Failed { .. } = refund.state {
        let text = format!("the row has the refund {id} of {ours} as failed, and the gateway has made it");
        differences.push(unaccounted(text));
    }
    if amounts.len() > 1 {
        differences.push(unaccounted(format!("the gateway has made the refund {id} {} times", amounts.len())));
    }
    let others = amounts.iter().filter(|theirs| **theirs != ours);
    differences.extend(others.map(|theirs| {
        let text = format!("the row has the refund {id} with the amount {ours}, and the gateway with {theirs}");
        unaccounted(text)
    }));
    differences
}

#[cfg(test)]
mod tests;
