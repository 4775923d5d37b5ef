//! Refunds of a confirmed order, whole or in part. Each is an aggregate of its own, so that an order that has ended
//! stays as it is.

use std::collections::BTreeMap;

use shared_events::{
    AmountError, Event, EventBody, Line, Lines, Money, OrderDetails, OrderId, Quantity, RefundDetails, RefundFailure,
    RefundId, SagaId, Sku, Timestamp,
};

use super::{CancelPolicy, IdempotencyKey, Order, Status};

/// Maximum number of refunds of an order, with those that failed.
pub(super) const MAX_REFUNDS: usize = 100;

/// A refund: what was requested, which never changes, and what has become of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Refund {
    /// Its id, its amount and the goods that come back.
    pub details: RefundDetails,
    /// The order that it is for.
    pub order: OrderDetails,
    /// The saga of that order.
    pub saga_id: SagaId,
    /// The goods that the money goes back for, whether they come back or not; `None` if that was not said.
    pub items: Option<Lines>,
    /// Why it was requested, in the words of the client.
    pub reason: Option<String>,
    /// The idempotency key of the request.
    pub idempotency_key: Option<IdempotencyKey>,
    /// What has become of the money.
    pub state: RefundState,
    /// Whether the goods are available again.
    pub restocked: bool,
    /// When it was requested.
    pub requested_at: Timestamp,
    /// When it last changed.
    pub changed_at: Timestamp,
    /// When its request is repeated, if it is not answered by then.
    pub wake_at: Option<Timestamp>,
    /// How often its request was repeated.
    pub repeats: u32,
}

/// What has become of the money of a refund. It only moves forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RefundState {
    /// It is not known yet.
    Requested,
    /// It has gone back.
    Succeeded,
    /// It has not and will not; or it has come back since ([`RefundFailure::Reversed`]).
    Failed(RefundFailure),
}

/// The request for a refund.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRefund {
    /// Its id.
    pub refund_id: RefundId,
    /// The order to refund.
    pub order_id: OrderId,
    /// The amount as the text of a JSON number, in major units of the order's currency; `None` for all that is left.
    pub amount: Option<String>,
    /// The goods that the money goes back for.
    pub items: Option<Lines>,
    /// Whether the goods come back.
    pub restock: bool,
    /// Why, in the words of the client.
    pub reason: Option<String>,
    /// The idempotency key of the request.
    pub idempotency_key: Option<IdempotencyKey>,
}

/// Why a refund is refused. Nothing is written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RefundRefusal {
    /// Only a confirmed order was paid.
    #[error("the order is {}; only a confirmed one can be refunded", .0.as_str())]
    NotConfirmed(Status),
    /// The amount is no amount of the order's currency.
    #[error("{0}")]
    Amount(AmountError),
    /// The earlier refunds have taken up the whole amount.
    #[error("the whole amount is refunded already, or is being refunded")]
    NothingLeft,
    /// The order has had its maximum of refunds.
    #[error("the order has had 100 refunds, which is the maximum")]
    TooManyRefunds,
    /// The earlier refunds leave less than this.
    #[error("only {0} of the order can still be refunded")]
    TooMuch(Money),
    /// An order has one amount and no prices, so that of some goods is not known.
    #[error("is missing: an order has no price for each item")]
    ItemsWithoutAmount,
    /// Goods come back, but not which.
    #[error("must say which goods come back, because only a part of the order is refunded")]
    RestockWithoutItems,
    /// The order has fewer units of this item that were not refunded before.
    #[error("only {left} of {sku} can still be refunded")]
    TooMany {
        /// The item.
        sku: Sku,
        /// The units that are left.
        left: i64,
    },
}

impl Refund {
    /// Decides the request for a refund of `order`, to which the refunds `earlier` belong, and returns it with its
    /// `RefundRequested`.
    ///
    /// # Errors
    /// If the order is not confirmed, or what is asked for is more than what the earlier refunds leave of it.
    pub fn request<'a>(
        order: &Order,
        earlier: impl Iterator<Item = &'a Self> + Clone,
        new: NewRefund,
        now: Timestamp,
        policy: &CancelPolicy,
    ) -> Result<(Self, Event), RefundRefusal> {
        if order.status() != Status::Confirmed {
            return Err(RefundRefusal::NotConfirmed(order.status()));
        }
        if earlier.clone().count() >= MAX_REFUNDS {
            return Err(RefundRefusal::TooManyRefunds);
        }
        let money = earlier.clone().filter(|refund| !matches!(refund.state, RefundState::Failed(_)));
        let amount = amount(order.details.total, money, &new)?;
        let items = items(&order.details.lines, earlier.filter(|refund| refund.takes_goods()), &new)?;
        let NewRefund { refund_id, restock, reason, idempotency_key, .. } = new;
        let restock = items.clone().filter(|_| restock);
        let refund = Self {
            details: RefundDetails { refund_id, amount, restock },
            order: order.details.clone(),
            saga_id: order.saga_id,
            items,
            reason,
            idempotency_key,
            state: RefundState::Requested,
            restocked: false,
            requested_at: now,
            changed_at: now,
            wake_at: Some(now.after(policy.pause(0))),
            repeats: 0,
        };
        let requested = refund.requested();
        Ok((refund, requested))
    }

    /// Learns what another service has done about it. Repeated, late and contradicting events change nothing.
    pub fn learn(&mut self, event: &EventBody, now: Timestamp) {
        let before = (self.state, self.restocked);
        match (event, self.state) {
            (EventBody::PaymentRefunded { .. }, RefundState::Requested) => self.state = RefundState::Succeeded,
            (EventBody::PaymentRefundFailed { reason, .. }, RefundState::Requested) => {
                self.state = RefundState::Failed(*reason);
            }
            (EventBody::PaymentRefundFailed { reason: RefundFailure::Reversed, .. }, RefundState::Succeeded) => {
                self.state = RefundState::Failed(RefundFailure::Reversed);
            }
            (EventBody::StockReturned { .. }, _) => self.restocked = self.details.restock.is_some(),
            _ => {}
        }
        if before != (self.state, self.restocked) {
            self.changed_at = now;
        }
        if self.has_ended() {
            self.wake_at = None;
        }
    }

    /// Called by the timer. If the refund is due, its request is repeated: each service that has done its part answers
    /// again.
    pub fn wake(&mut self, now: Timestamp, policy: &CancelPolicy) -> Option<Event> {
        self.wake_at.filter(|at| *at <= now)?;
        self.repeats = self.repeats.saturating_add(1);
        self.wake_at = Some(now.after(policy.pause(self.repeats)));
        Some(self.requested())
    }

    /// Returns whether nothing is to be done about it any more.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        match self.state {
            RefundState::Requested => false,
            // It was accepted, so the goods come back, whatever has become of the money since.
            RefundState::Succeeded | RefundState::Failed(RefundFailure::Reversed) => {
                self.restocked || self.details.restock.is_none()
            }
            RefundState::Failed(_) => true,
        }
    }

    /// Returns whether its goods cannot be refunded again. What came back with it stays back if its money does not
    /// reach the customer.
    fn takes_goods(&self) -> bool {
        match self.state {
            RefundState::Requested | RefundState::Succeeded => true,
            RefundState::Failed(reason) => reason == RefundFailure::Reversed && self.details.restock.is_some(),
        }
    }

    /// Returns whether it is what `new` requests.
    #[must_use]
    pub fn has_content_of(&self, new: &NewRefund) -> bool {
        // Every field is named, so that the compiler asks about a new one.
        let NewRefund { refund_id: _, order_id, amount, items, restock, reason, idempotency_key: _ } = new;
        // Of all that is left, there may have been no goods.
        let had_no_goods = self.items.is_none() && amount.is_none();
        let amount = amount.as_deref().map(|amount| Money::parse(amount, self.details.amount.currency()));
        self.order.order_id == *order_id
            && amount.is_none_or(|amount| amount == Ok(self.details.amount))
            && items.as_ref().is_none_or(|items| self.items.as_ref() == Some(items))
            && (self.details.restock.is_some() == *restock || had_no_goods)
            && self.reason == *reason
    }

    fn requested(&self) -> Event {
        let body = EventBody::RefundRequested { refund: self.details.clone() };
        Event { saga_id: self.saga_id, order: self.order.clone(), body }
    }
}

/// Handles an event about a refund of `order`. Returns the refund if it has changed, and the order if more or less of
/// it has gone back now.
#[must_use]
pub fn on_refund_event(
    order: &Order,
    refund: &Refund,
    body: &EventBody,
    now: Timestamp,
) -> (Option<Refund>, Option<Order>) {
    let mut changed = refund.clone();
    changed.learn(body, now);
    let amount = refund.details.amount.minor_units();
    let refunded = match (refund.state, changed.state) {
        (RefundState::Succeeded, RefundState::Succeeded) => None,
        (_, RefundState::Succeeded) => Some(order.refunded.saturating_add(amount)),
        (RefundState::Succeeded, _) => Some(order.refunded.saturating_sub(amount)),
        _ => None,
    };
    let order = refunded.map(|refunded| Order { refunded, changed_at: now, ..order.clone() });
    ((changed != *refund).then_some(changed), order)
}

fn amount<'a>(
    total: Money,
    earlier: impl Iterator<Item = &'a Refund>,
    new: &NewRefund,
) -> Result<Money, RefundRefusal> {
    let refunded: i64 = earlier.map(|refund| refund.details.amount.minor_units()).sum();
    let left = Money::from_minor_units(total.minor_units().saturating_sub(refunded), total.currency());
    let left = left.map_err(|_| RefundRefusal::NothingLeft)?;
    let Some(amount) = &new.amount else {
        return if new.items.is_none() { Ok(left) } else { Err(RefundRefusal::ItemsWithoutAmount) };
    };
    let amount = Money::parse(amount, total.currency()).map_err(RefundRefusal::Amount)?;
    if amount > left { Err(RefundRefusal::TooMuch(left)) } else { Ok(amount) }
}

fn items<'a>(
    lines: &Lines,
    earlier: impl Iterator<Item = &'a Refund>,
    new: &NewRefund,
) -> Result<Option<Lines>, RefundRefusal> {
    let mut left: BTreeMap<&Sku, i64> = lines.iter().map(|line| (&line.sku, line.quantity.units())).collect();
    for line in earlier.filter_map(|refund| refund.items.as_ref()).flat_map(Lines::iter) {
        left.entry(&line.sku).and_modify(|units| *units -= line.quantity.units());
    }
    match &new.items {
        Some(items) => {
            let units = |sku: &Sku| left.get(sku).copied().unwrap_or(0).max(0);
            match items.iter().find(|line| line.quantity.units() > units(&line.sku)) {
                Some(Line { sku, .. }) => Err(RefundRefusal::TooMany { sku: sku.clone(), left: units(sku) }),
                None => Ok(Some(items.clone())),
            }
        }
        None if new.amount.is_some() => {
            if new.restock {
                Err(RefundRefusal::RestockWithoutItems)
            } else {
                Ok(None)
            }
        }
        // All that is left of the money, and so of the goods.
        None => {
            let line =
                |(sku, units): (&Sku, i64)| Some(Line { sku: sku.clone(), quantity: Quantity::new(units).ok()? });
            Ok(Lines::new(left.into_iter().filter_map(line)).ok())
        }
    }
}

#[cfg(test)]
mod tests;
