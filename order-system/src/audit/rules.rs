//! The rules for one order or one item at a time. They are pure functions, so that the tests of the protocol use the
//! same rules as operators do.

use inventory::domain::{Reservation, State as ReservationState};
use order::domain::{Cancel, Capture, Order, Status};
use payment::domain::{Payment, State as PaymentState};
use shared_events::{Service, SystemId, Timestamp};

/// Returns what is wrong with an order when no messages are in flight: one text per breach.
///
/// `reservation` and `payment` belong to the order's saga.
#[must_use]
pub fn of_order(
    order: &Order,
    reservation: Option<&Reservation>,
    payment: Option<&Payment>,
    now: Timestamp,
) -> Vec<String> {
    let mut breaches = Vec::new();
    let mut demand = |holds: bool, breach: String| {
        if !holds {
            breaches.push(breach);
        }
    };
    let held = reservation.is_some_and(|reservation| reservation.state == ReservationState::Held);
    let sold = reservation.is_some_and(|reservation| reservation.state == ReservationState::Sold);
    let authorized = payment.is_some_and(Payment::is_authorized);
    let state = payment.map(|payment| &payment.state);
    match order.status() {
        Status::Confirmed => {
            demand(sold, format!("no stock is sold for it: {}", of_reservation(reservation)));
            let same_lines = reservation.is_some_and(|reservation| reservation.lines().eq(order.details.lines.iter()));
            demand(!sold || same_lines, "the stock that is sold is not what was ordered".to_owned());
            let capture_failed = matches!(state, Some(PaymentState::CaptureFailed(_)));
            demand(authorized || capture_failed, format!("no payment is authorized for it: {}", of_payment(payment)));
            let same_amount = payment.is_some_and(|payment| payment.amount == order.details.total);
            demand(!authorized || same_amount, "the amount that is authorized is not that of the order".to_owned());
            breaches.extend(of_capture(order, payment, now).filter(|_| authorized || capture_failed));
        }
        Status::Failed | Status::Cancelled => {
            demand(!held && !sold, format!("its stock is not back: {}", of_reservation(reservation)));
            demand(!authorized, "its payment is still authorized".to_owned());
        }
        Status::Pending | Status::Compensating => {
            let young = order.facts.cancel == Cancel::No && order.wake_at.is_some_and(|wake_at| wake_at > now);
            demand(young, "it is past its deadline and has not ended".to_owned());
        }
    }
    let mut demand = |holds: bool, breach: &str| {
        if !holds {
            breaches.push(breach.to_owned());
        }
    };
    let requested = state == Some(&PaymentState::Requested);
    let ended = order.status().is_terminal();
    demand(!(requested && ended), "it has ended, and its payment is still to be authorized at the gateway");
    let voiding = state == Some(&PaymentState::Voiding);
    demand(!voiding, "its payment is still to be voided at the gateway");
    breaches
}

/// Returns what is wrong with the capture of a confirmed order's payment, if anything is. An order that is not due yet,
/// or that a version without captures has confirmed, may still wait for it.
fn of_capture(order: &Order, payment: Option<&Payment>, now: Timestamp) -> Option<String> {
    let is_captured = payment.is_some_and(|payment| payment.state == PaymentState::Captured);
    match order.facts.capture {
        Capture::Unknown if order.wake_at.is_none_or(|at| at > now) => None,
        Capture::Unknown => Some(format!("it is not known whether its payment is captured: {}", of_payment(payment))),
        Capture::Captured if !is_captured => Some(format!("its payment is not captured: {}", of_payment(payment))),
        Capture::Failed if is_captured => Some("its payment is captured, but the order says it is not".to_owned()),
        Capture::Captured | Capture::Failed => None,
    }
}

fn of_reservation(reservation: Option<&Reservation>) -> String {
    reservation.map_or("there is no reservation".to_owned(), |reservation| {
        format!("reservation {} is {:?}", reservation.id.0, reservation.state)
    })
}

fn of_payment(payment: Option<&Payment>) -> String {
    payment.map_or("there is no payment".to_owned(), |payment| {
        format!("payment {} is {}", payment.payment_id.0, payment.state.as_str())
    })
}

/// Returns a text if the databases belong to different systems.
#[must_use]
pub fn of_systems(systems: &[(Service, Option<SystemId>)]) -> Option<String> {
    let known: Vec<_> = systems.iter().filter_map(|(service, id)| Some((service, (*id)?))).collect();
    let all_one = known.windows(2).all(|pair| pair[0].1 == pair[1].1);
    let each = || known.iter().map(|(service, id)| format!("{service} to {id}")).collect::<Vec<_>>().join(", ");
    (!all_one).then(|| format!("the databases belong to different systems: {}", each()))
}

/// The stock of one item as it is in the database, consistent or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// All units that were ever received.
    pub received: i64,
    /// Units that can still be held.
    pub available: i64,
    /// Units that are held.
    pub held: i64,
    /// Units that are sold.
    pub sold: i64,
}

/// Returns what is wrong with the stock of one item: one text per breach. The other arguments are the units that its
/// reservations hold, and have sold and not taken back.
#[must_use]
pub fn of_item(counts: Counts, held_by_reservations: i64, sold_by_reservations: i64) -> Vec<String> {
    let Counts { received, available, held, sold } = counts;
    let mut breaches = Vec::new();
    if available.checked_add(held).and_then(|sum| sum.checked_add(sold)) != Some(received) {
        breaches.push(format!("received {received} is not available {available} + held {held} + sold {sold}"));
    }
    if [received, available, held, sold].iter().any(|&count| count < 0) {
        breaches.push(format!("negative: received {received}, available {available}, held {held}, sold {sold}"));
    }
    if held != held_by_reservations {
        breaches.push(format!("held is {held}, but its reservations hold {held_by_reservations}"));
    }
    if sold != sold_by_reservations {
        breaches.push(format!("sold is {sold}, but its reservations sold {sold_by_reservations}"));
    }
    breaches
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use order::domain::{CancelPolicy, Fact, NewOrder, Payment as PaymentFact, Stock};
    use payment::domain::{NewPayment, PaymentId};
    use shared_events::{Line, Lines, Money, OrderId, Quantity, SagaId, Sku};
    use uuid::Uuid;

    use super::*;

    #[test]
    fn databases_of_different_systems_are_named() {
        let [one, other] = ["018d0000-0000-7000-8000-000000000001", "018d0000-0000-7000-8000-000000000002"]
            .map(|id| Some(id.parse().unwrap()));
        let of = |order, inventory| of_systems(&[(Service::Order, order), (Service::Inventory, inventory)]);
        assert_eq!((of(one, one), of(one, None), of(None, None)), (None, None, None));
        let breach = of(one, other).unwrap();
        assert!(breach.contains("order to 018d0000-0000-7000-8000-000000000001, inventory to"), "{breach}");
    }

    #[test]
    fn stock_that_does_not_add_up_is_named() {
        let good = Counts { received: 10, available: 7, held: 1, sold: 2 };
        assert_eq!(of_item(good, 1, 2), Vec::<String>::new());
        assert_eq!(of_item(Counts { available: 8, ..good }, 1, 2).len(), 1);
        assert_eq!(of_item(good, 2, 2), ["held is 1, but its reservations hold 2"]);
        assert_eq!(of_item(good, 1, 0), ["sold is 2, but its reservations sold 0"]);
        let negative = Counts { received: 1, available: -1, held: 0, sold: 2 };
        assert_eq!(of_item(negative, 0, 2).len(), 1);
    }
    /// An order and its payment, confirmed and authorized.
    fn confirmed() -> (Order, Payment) {
        let sku = Sku::parse("A").unwrap();
        let lines = Lines::new([Line { sku, quantity: Quantity::new(1).unwrap() }]).unwrap();
        let total = Money::from_minor_units(100, "USD".parse().unwrap()).unwrap();
        let saga_id = SagaId(Uuid::from_u128(7));
        let new = NewOrder { saga_id, owner: String::new(), lines, total, payment_method: None, idempotency_key: None };
        let minute = Duration::from_secs(60);
        let policy = CancelPolicy { deadline: minute, first_repeat: minute, longest_repeat: minute };
        let (mut order, _) = Order::place(new, OrderId(1), Timestamp::default(), &policy);
        order.learn(Fact::Stock(Stock::Reserved), Timestamp::default());
        order.learn(Fact::Payment(PaymentFact::Authorized), Timestamp::default());
        let new = NewPayment::of_order(PaymentId(1), saga_id, &order.details);
        (order, new.into_payment(PaymentState::Authorized, Timestamp::default()))
    }

    #[test]
    fn the_capture_is_as_the_order_says_and_is_not_outstanding_after_the_deadline() {
        let (order, payment) = confirmed();
        let failed = || PaymentState::CaptureFailed(String::new());
        let (soon, late) = (Timestamp::default(), Timestamp::default().after(Duration::from_secs(60)));
        for (capture, state, at, is_right) in [
            (Capture::Unknown, PaymentState::Authorized, soon, true),
            (Capture::Unknown, PaymentState::Capturing, soon, true),
            (Capture::Unknown, PaymentState::Captured, soon, true),
            (Capture::Unknown, PaymentState::Capturing, late, false),
            (Capture::Unknown, PaymentState::Captured, late, false),
            (Capture::Captured, PaymentState::Captured, late, true),
            (Capture::Captured, PaymentState::Authorized, late, false),
            (Capture::Captured, PaymentState::Capturing, soon, false),
            (Capture::Captured, failed(), late, false),
            (Capture::Failed, failed(), late, true),
            (Capture::Failed, PaymentState::Captured, late, false),
        ] {
            let mut order = order.clone();
            order.learn(Fact::Capture(capture), soon);
            let payment = Payment { state, ..payment.clone() };
            // There is no reservation here, which is a breach of its own.
            let breaches = of_order(&order, None, Some(&payment), at);
            assert_eq!(breaches.len(), 2 - usize::from(is_right), "{capture:?}, {}: {breaches:?}", payment.state);
        }
        // A version without captures has confirmed it, and it is taken up soon.
        let old = Order { wake_at: None, ..order };
        assert_eq!(of_order(&old, None, Some(&payment), late).len(), 1);
    }
}
