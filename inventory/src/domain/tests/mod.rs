//! Tests of the whole inventory domain: an inventory in memory, and helpers.

mod sequences;
mod table;

use std::{collections::BTreeMap, time::Duration};

use shared_events::{
    CancelReason, Event, EventBody, EventType, FailureReason, Line, Lines, Money, OrderDetails, OrderId, Quantity,
    RefundDetails, RefundFailure, RefundId, SagaId, Sku, Timestamp,
};
use uuid::Uuid;

use super::{
    ClientRequest, Context, HoldPolicy, Impossible, Owner, Reservation, ReservationId, State, Stock, StockItem,
    on_event,
};

const POLICY: HoldPolicy = HoldPolicy { hold_time: Duration::from_secs(60), longest_repeat: Duration::from_secs(200) };

fn sku(name: &str) -> Sku {
    Sku::parse(name).unwrap()
}

fn line(name: &str, units: i64) -> Line {
    Line { sku: sku(name), quantity: Quantity::new(units).unwrap() }
}

fn at(second: u64) -> Timestamp {
    Timestamp::default().after(Duration::from_secs(second))
}

fn order(number: i64, lines: impl IntoIterator<Item = Line>) -> OrderDetails {
    let total = Money::from_minor_units(20_000, "USD".parse().unwrap()).unwrap();
    OrderDetails { order_id: OrderId(number), lines: Lines::new(lines).unwrap(), total, payment_method: None }
}

fn event(order: &OrderDetails, body: EventBody) -> Event {
    let saga_id = SagaId(Uuid::from_u128(u128::try_from(order.order_id.0).unwrap()));
    Event { saga_id, order: order.clone(), body }
}

fn every_body() -> [EventBody; EventType::ALL.len()] {
    EventType::ALL.map(body)
}

fn body(event: EventType) -> EventBody {
    use EventType as E;
    match event {
        E::OrderCreated => EventBody::OrderCreated,
        E::StockReserved => EventBody::StockReserved,
        E::StockReservationFailed => {
            EventBody::StockReservationFailed { reason: FailureReason::UnknownItem, item_sku: sku("A") }
        }
        E::PaymentAuthorized => EventBody::PaymentAuthorized,
        E::PaymentFailed => EventBody::PaymentFailed { reason: FailureReason::PaymentDeclined },
        E::StockReleased => EventBody::StockReleased,
        E::OrderConfirmed => EventBody::OrderConfirmed,
        E::OrderFailed => EventBody::OrderFailed { reason: FailureReason::PaymentDeclined },
        E::OrderCancelled => EventBody::OrderCancelled,
        E::OrderCancelRequested => EventBody::OrderCancelRequested { reason: CancelReason::Customer },
        E::PaymentVoided => EventBody::PaymentVoided,
        E::StockHoldOverdue => EventBody::StockHoldOverdue,
        E::PaymentCaptured => EventBody::PaymentCaptured,
        E::PaymentCaptureFailed => EventBody::PaymentCaptureFailed,
        E::RefundRequested => EventBody::RefundRequested { refund: refund(1, Some(line("B", 1))) },
        E::PaymentRefunded => EventBody::PaymentRefunded { refund: refund(1, Some(line("B", 1))) },
        E::PaymentRefundFailed => {
            let refund = refund(1, Some(line("B", 1)));
            EventBody::PaymentRefundFailed { refund, reason: RefundFailure::NotCaptured }
        }
        E::StockReturned => EventBody::StockReturned { refund: refund(1, Some(line("B", 1))) },
    }
}

/// A refund of one dollar with which these goods come back.
fn refund(number: u128, restock: impl IntoIterator<Item = Line>) -> RefundDetails {
    RefundDetails {
        refund_id: RefundId(Uuid::from_u128(number)),
        amount: Money::from_minor_units(100, "USD".parse().unwrap()).unwrap(),
        restock: Lines::new(restock).ok(),
    }
}

/// An inventory in memory. Does what the participant does around the decisions, without a database.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct World {
    stock: BTreeMap<Sku, StockItem>,
    reservations: BTreeMap<ReservationId, Reservation>,
}

impl World {
    fn with(stock: &[(&str, i64)]) -> Self {
        let mut world = Self::default();
        stock.iter().for_each(|(name, units)| world.set(name, *units));
        world
    }

    fn set(&mut self, name: &str, units: i64) {
        let mut item = self.stock.get(&sku(name)).cloned().unwrap_or_else(|| StockItem::new(sku(name)));
        item.set_available(units).unwrap();
        self.stock.put(item);
    }

    fn new_ids(&self) -> impl Iterator<Item = ReservationId> + use<> {
        let highest = self.reservations.keys().next_back().map_or(0, |id| id.0);
        (highest + 1..).map(ReservationId)
    }

    fn of(&self, order: &OrderDetails) -> Option<&Reservation> {
        let saga_id = event(order, EventBody::OrderCreated).saga_id;
        self.reservations.values().find(|one| one.saga_id() == Some(saga_id))
    }

    fn handle(
        &mut self,
        order: &OrderDetails,
        body: EventBody,
        now: Timestamp,
    ) -> Result<Option<EventBody>, Impossible> {
        let before = self.clone();
        let mut ids = self.new_ids();
        let known = before.of(order);
        let context = Context { stock: &mut self.stock, new_ids: &mut ids, now, hold_policy: &POLICY };
        let outcome = on_event(known, &event(order, body), context);
        let Ok(transition) = outcome else {
            assert_eq!(*self, before, "a refused event changes nothing");
            return Err(outcome.unwrap_err());
        };
        if let Some(reservation) = transition.reservation {
            self.reservations.insert(reservation.id, reservation);
        }
        Ok(transition.event)
    }

    fn numbers(&self, name: &str) -> (i64, i64, i64) {
        let item = &self.stock[&sku(name)];
        (item.available(), item.held(), item.sold())
    }

    /// Checks the stock equation, that nothing is negative, and that the stock holds what the reservations hold.
    fn assert_consistent(&self) {
        for item in self.stock.values() {
            let numbers = [item.available(), item.held(), item.sold()];
            assert!(numbers.iter().all(|number| *number >= 0), "{item:?}");
            assert_eq!(item.received(), numbers.iter().sum::<i64>(), "{item:?}");
            let booked = |state: State| -> i64 {
                let of_state = self.reservations.values().filter(|one| one.state == state);
                let lines = of_state.flat_map(Reservation::lines).filter(|line| line.sku == *item.sku());
                lines.map(|line| line.quantity.units()).sum()
            };
            let returned: i64 = self.reservations.values().map(|one| one.returned(item.sku())).sum();
            assert_eq!((item.held(), item.sold()), (booked(State::Held), booked(State::Sold) - returned), "{self:?}");
        }
        for one in self.reservations.values() {
            match &one.owner {
                Owner::Saga { .. } => assert_eq!(one.wake_at.is_some(), one.state == State::Held, "{one:?}"),
                // It may be held without an end.
                Owner::Client { .. } => assert!(one.wake_at.is_none() || one.state == State::Held, "{one:?}"),
            }
        }
    }
}
