//! Holds what the diagram expects of inventory and payment against what they decide.

use std::collections::BTreeMap;

use inventory::domain::{self as inv, HoldPolicy, Reservation, ReservationId, StockItem};
use payment::domain::{self as pay, Answer, Payment, PaymentId, Step};
use shared_events::{
    CancelReason, Event, EventBody, EventType, FailureReason, Line, Lines, Money, OrderDetails, OrderId, Quantity,
    RefundDetails, RefundId, SagaId, Service, Sku, Timestamp,
};
use uuid::Uuid;

use super::super::to_come::answer;

fn sku() -> Sku {
    Sku::parse("SKU-ABC").unwrap()
}

fn refund() -> RefundDetails {
    let line = Line { sku: sku(), quantity: Quantity::new(1).unwrap() };
    RefundDetails {
        refund_id: RefundId(Uuid::from_u128(9)),
        amount: Money::from_minor_units(10_000, "USD".parse().unwrap()).unwrap(),
        restock: Some(Lines::new([line]).unwrap()),
    }
}

/// Returns the event of this type, as a service consumes it.
fn event(event: EventType) -> Event {
    let body = match event {
        EventType::OrderCreated => EventBody::OrderCreated,
        EventType::StockReserved => EventBody::StockReserved,
        EventType::PaymentFailed => EventBody::PaymentFailed { reason: FailureReason::PaymentDeclined },
        EventType::OrderConfirmed => EventBody::OrderConfirmed,
        EventType::OrderCancelRequested => EventBody::OrderCancelRequested { reason: CancelReason::Customer },
        EventType::RefundRequested => EventBody::RefundRequested { refund: refund() },
        EventType::PaymentRefunded => EventBody::PaymentRefunded { refund: refund() },
        other => panic!("inventory and payment do not consume {other}"),
    };
    let line = Line { sku: sku(), quantity: Quantity::new(2).unwrap() };
    let total = Money::from_minor_units(20_000, "USD".parse().unwrap()).unwrap();
    let order = OrderDetails { order_id: OrderId(1), lines: Lines::new([line]).unwrap(), total, payment_method: None };
    Event { saga_id: SagaId(Uuid::from_u128(7)), order, body }
}

fn inventory(known: Option<&Reservation>, event: &Event, stock: &mut BTreeMap<Sku, StockItem>) -> inv::Transition {
    let hold_policy = HoldPolicy { hold_time: std::time::Duration::MAX, longest_repeat: std::time::Duration::MAX };
    let new_ids = &mut [ReservationId(1)].into_iter();
    let context = inv::Context { stock, new_ids, now: Timestamp::default(), hold_policy: &hold_policy };
    inv::on_event(known, event, context).unwrap()
}

/// Returns what inventory answers to this event: for an order that it does not know, or of which it holds the stock.
fn inventory_answers(asked: EventType) -> Option<EventBody> {
    let mut stock = BTreeMap::from([(sku(), StockItem::from_stored(sku(), 10, 10, 0, 0).unwrap())]);
    let before = (asked != EventType::OrderCreated)
        .then(|| inventory(None, &event(EventType::OrderCreated), &mut stock).reservation.unwrap());
    inventory(before.as_ref(), &event(asked), &mut stock).event
}

/// Returns what payment answers to this event, at the latest when the gateway has answered.
fn payment_answers(asked: EventType) -> Option<EventBody> {
    let now = Timestamp::default();
    let decide = |known: Option<&Payment>, asked| {
        let mut transition = pay::on_event(known, &event(asked), PaymentId(1), now).unwrap();
        while let Some(payment) = &transition.payment
            && let Some(step) = payment.step()
        {
            let answer = match step {
                Step::Prepare => Answer::Prepared { reference: "reference".to_owned() },
                Step::Authorize => Answer::Authorized,
                Step::Capture => Answer::Captured { reference: "captured".to_owned() },
                Step::Void => Answer::Voided,
                Step::Refund(id) => Answer::Refunded(id),
            };
            transition = pay::on_answer(payment, &answer, now);
        }
        transition
    };
    let mut before =
        (asked != EventType::StockReserved).then(|| decide(None, EventType::StockReserved).payment.unwrap());
    if asked == EventType::RefundRequested {
        before = decide(before.as_ref(), EventType::OrderConfirmed).payment;
    }
    decide(before.as_ref(), asked).events.pop()
}

#[test]
fn the_answers_that_the_diagram_expects_are_those_of_the_services() {
    let mut asked = 0;
    for service in [Service::Inventory, Service::Payment] {
        for flow in service.subscriptions() {
            let decided = match service {
                Service::Inventory => inventory_answers(flow.event),
                _ => payment_answers(flow.event),
            };
            assert_eq!(answer(service, &event(flow.event).body), decided, "{service} is asked with {}", flow.event);
            asked += 1;
        }
    }
    assert_eq!(asked, 9);
}
