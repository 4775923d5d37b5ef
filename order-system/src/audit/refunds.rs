//! The rules for the refunds of one order: pure functions, like [`rules`](super::rules).

use std::collections::BTreeSet;

use inventory::domain::Reservation;
use order::domain::{Order, Refund, RefundState};
use payment::domain::{Payment, RefundState as PaidBack, State as PaymentState};
use shared_events::{Lines, RefundId};

/// Returns what is wrong with the refunds of an order when no messages are in flight: one text per breach. `refunds`
/// are all that the order has had.
#[must_use]
pub fn of_refunds(
    order: &Order,
    refunds: &[Refund],
    reservation: Option<&Reservation>,
    payment: Option<&Payment>,
) -> Vec<String> {
    let mut breaches: Vec<String> =
        refunds.iter().filter_map(|refund| of_refund(refund, reservation, payment)).collect();
    let mut demand = |holds: bool, breach: String| {
        if !holds {
            breaches.push(breach);
        }
    };
    let amount = |refund: &Refund| refund.details.amount.minor_units();
    let succeeded = refunds.iter().filter(|refund| refund.state == RefundState::Succeeded);
    let (succeeded, total) = (succeeded.map(amount).sum::<i64>(), order.details.total.minor_units());
    demand(order.refunded == succeeded, format!("its refunded amount is {}, not {succeeded}", order.refunded));
    let sum: i64 = refunds.iter().filter(|one| !matches!(one.state, RefundState::Failed(_))).map(amount).sum();
    demand(sum <= total, format!("{sum} of its {total} is refunded, or is to be"));
    let known: BTreeSet<RefundId> = refunds.iter().map(|refund| refund.details.refund_id).collect();
    if let Some(payment) = payment {
        let (back, state) = (payment.refunded().map_or(0, |amount| amount.minor_units()), &payment.state);
        let captured = if *state == PaymentState::Captured { payment.amount.minor_units() } else { 0 };
        demand(back <= captured, format!("{back} of its payment is refunded, and {captured} captured ({state})"));
        let ids: BTreeSet<RefundId> = payment.refunds.iter().map(|refund| refund.details.refund_id).collect();
        demand(ids.len() == payment.refunds.len(), "its payment has the same refund twice".to_owned());
        for id in ids.difference(&known) {
            demand(false, format!("its payment has a refund that it does not know: {id}"));
        }
    }
    if let Some(reservation) = reservation {
        for line in reservation.lines() {
            let (back, sold) = (reservation.returned(&line.sku), line.quantity.units());
            demand(back <= sold, format!("{back} of {sold} {} came back", line.sku));
        }
        for back in reservation.returns.iter().filter(|back| !known.contains(&back.refund_id)) {
            demand(false, format!("goods came back with a refund that it does not know: {}", back.refund_id));
        }
    }
    breaches
}

/// Returns what is wrong with one refund, if anything is: the three services agree on what has become of it.
fn of_refund(refund: &Refund, reservation: Option<&Reservation>, payment: Option<&Payment>) -> Option<String> {
    let id = refund.details.refund_id;
    let paid_back = payment.and_then(|payment| payment.refund(id));
    let state = paid_back.map(|one| &one.state);
    let is_open = matches!(state, None | Some(PaidBack::Requested));
    let wrong = match refund.state {
        // It may wait for the gateway. If it was lost on its way, it is requested again.
        RefundState::Requested if is_open => false,
        RefundState::Requested => return Some(format!("the refund {id} has not ended, and payment has {state:?}")),
        RefundState::Succeeded => state != Some(&PaidBack::Refunded),
        RefundState::Failed(_) => !matches!(state, Some(PaidBack::Failed { .. })),
    };
    if wrong {
        return Some(format!("the refund {id} is {:?}, and payment has {state:?}", refund.state));
    }
    if paid_back.is_some_and(|one| one.details != refund.details) {
        return Some(format!("the refund {id} has other content at payment"));
    }
    let mut returns = reservation.into_iter().flat_map(|reservation| &reservation.returns);
    let back: Vec<&Lines> = returns.by_ref().filter(|back| back.refund_id == id).map(|back| &back.lines).collect();
    let expected: Vec<&Lines> = refund.details.restock.iter().filter(|_| refund.restocked).collect();
    (back != expected).then(|| format!("with the refund {id}, {back:?} came back, not {expected:?}"))
}

#[cfg(test)]
mod tests;
