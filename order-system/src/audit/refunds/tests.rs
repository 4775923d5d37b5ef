use std::time::Duration;

use inventory::domain::{Owner, ReservationId, Return, State as ReservationState};
use order::domain::{CancelPolicy, Capture, Fact, NewOrder, NewRefund, Payment as PaymentFact, Stock};
use payment::domain::{NewPayment, PaymentId, Refund as PaymentRefund};
use shared_events::{Event, EventBody, Line, Money, OrderId, Quantity, SagaId, Sku, Timestamp};
use uuid::Uuid;

use super::*;

const NOW: Timestamp = Timestamp::from_unix_micros(0);
const POLICY: CancelPolicy =
    CancelPolicy { deadline: Duration::ZERO, first_repeat: Duration::ZERO, longest_repeat: Duration::ZERO };

/// What the three services have of an order of two units, of which one came back with 50 of 200 dollars.
#[derive(Clone)]
struct Data {
    order: Order,
    refund: Refund,
    reservation: Reservation,
    payment: Payment,
}

fn lines(units: i64) -> Lines {
    let line = Line { sku: Sku::parse("SKU-ABC").unwrap(), quantity: Quantity::new(units).unwrap() };
    Lines::new([line]).unwrap()
}

fn data() -> Data {
    let new = NewOrder {
        saga_id: SagaId(Uuid::from_u128(1)),
        owner: String::new(),
        lines: lines(2),
        total: Money::from_minor_units(20_000, "USD".parse().unwrap()).unwrap(),
        payment_method: None,
        idempotency_key: None,
    };
    let (mut order, _) = Order::place(new, OrderId(1), NOW, &POLICY);
    for fact in [Fact::Stock(Stock::Reserved), Fact::Payment(PaymentFact::Authorized), Fact::Capture(Capture::Captured)]
    {
        order.facts = order.facts.learn(fact);
    }
    let new = NewRefund {
        refund_id: RefundId(Uuid::from_u128(9)),
        order_id: OrderId(1),
        amount: Some("50".to_owned()),
        items: Some(lines(1)),
        restock: true,
        reason: None,
        idempotency_key: None,
    };
    let (mut refund, Event { body, .. }) = Refund::request(&order, [].iter(), new, NOW, &POLICY).unwrap();
    let details = body.refund().unwrap().clone();
    refund.learn(&EventBody::PaymentRefunded { refund: details.clone() }, NOW);
    refund.learn(&EventBody::StockReturned { refund: details.clone() }, NOW);
    order.refunded = 5_000;
    let returns = vec![Return { refund_id: details.refund_id, lines: lines(1) }];
    let reservation = Reservation {
        id: ReservationId(1),
        owner: Owner::Saga { saga_id: order.saga_id, order: order.details.clone() },
        state: ReservationState::Sold,
        made_at: NOW,
        changed_at: NOW,
        wake_at: None,
        repeats: 0,
        returns,
    };
    let payment = NewPayment::of_order(PaymentId(1), order.saga_id, &order.details);
    let refunds = vec![PaymentRefund { details, state: PaidBack::Refunded, lines: None }];
    let payment = Payment { refunds, ..payment.into_payment(PaymentState::Captured, NOW) };
    Data { order, refund, reservation, payment }
}

/// The breaches after `damage`.
fn breaches(damage: impl FnOnce(&mut Data)) -> Vec<String> {
    let mut data = data();
    damage(&mut data);
    let Data { order, refund, reservation, payment } = data;
    of_refunds(&order, &[refund], Some(&reservation), Some(&payment))
}

#[test]
fn refunds_that_the_services_agree_on_are_clean() {
    assert_eq!(breaches(|_| {}), Vec::<String>::new());
    // It waits for the gateway, or its request was lost.
    let open = |data: &mut Data| {
        (data.order.refunded, data.refund.state, data.refund.restocked) = (0, RefundState::Requested, false);
        data.reservation.returns.clear();
        data.payment.refunds[0].state = PaidBack::Requested;
    };
    assert_eq!(breaches(open), Vec::<String>::new());
    let lost = |data: &mut Data| {
        open(data);
        data.payment.refunds.clear();
    };
    assert_eq!(breaches(lost), Vec::<String>::new());
}

#[test]
fn each_disagreement_is_named() {
    type Damage = (&'static str, fn(&mut Data));
    let damages: [Damage; 9] = [
        ("its refunded amount is 0, not 5000", |data| data.order.refunded = 0),
        ("payment has None", |data| data.payment.refunds.clear()),
        ("payment has Some(Requested)", |data| data.payment.refunds[0].state = PaidBack::Requested),
        ("the same refund twice", |data| data.payment.refunds.push(data.payment.refunds[0].clone())),
        ("0 captured (AUTHORIZED)", |data| data.payment.state = PaymentState::Authorized),
        ("has other content at payment", |data| data.payment.refunds[0].details.restock = None),
        ("came back, not", |data| data.reservation.returns.clear()),
        ("came back, not", |data| data.refund.restocked = false),
        ("3 of 2 SKU-ABC came back", |data| {
            data.reservation.returns.push(Return { refund_id: data.refund.details.refund_id, lines: lines(2) });
        }),
    ];
    for (expected, damage) in damages {
        let breaches = breaches(damage);
        assert!(breaches.iter().any(|breach| breach.contains(expected)), "{expected}: {breaches:?}");
    }
    let Data { order, reservation, payment, .. } = data();
    let breaches = of_refunds(&Order { refunded: 0, ..order }, &[], Some(&reservation), Some(&payment));
    assert_eq!(breaches.iter().filter(|breach| breach.contains("it does not know")).count(), 2, "{breaches:?}");
}
