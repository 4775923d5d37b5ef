use payment::{
    domain::{NewPayment, PaymentId, Purpose, Refund},
    gateway::{Decline, DeclineCode, FailedRefund, GatewayRefund, Reference, RefundKey},
};
use shared_events::{OrderId, RefundDetails, RefundFailure, SagaId, Timestamp};
use uuid::Uuid;

use super::*;

fn dollars(amount: &str) -> Money {
    Money::parse(amount, "USD".parse().unwrap()).unwrap()
}

fn payment(state: State) -> Payment {
    let purpose = Purpose::Saga(SagaId(Uuid::from_u128(1)));
    let new = NewPayment { payment_id: PaymentId(1), purpose, order_id: OrderId(1), amount: dollars("20") };
    Payment { reference: Some("pi_1".to_owned()), ..new.into_payment(state, Timestamp::default()) }
}

fn of_client(state: State) -> Payment {
    Payment { purpose: Purpose::Client { key: None, idempotency_key: None }, ..payment(state) }
}

fn found(state: GatewayState) -> GatewayPayment {
    GatewayPayment {
        reference: Reference("pi_1".to_owned()),
        amount: dollars("20"),
        state,
        refunds: Vec::new(),
        failed_refunds: Vec::new(),
    }
}

/// Whether the gateway differs, and whether by money that the row does not account for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Differs {
    No,
    Yes,
    Money,
}

fn differs(differences: &[Difference]) -> Differs {
    match differences {
        [] => Differs::No,
        [one] if one.is_unaccounted => Differs::Money,
        [_] => Differs::Yes,
        several => panic!("{several:?}"),
    }
}

#[test]
fn each_state_is_compared_with_each_of_the_gateway() {
    use Differs::{Money, No, Yes};
    let declined = GatewayState::Declined(Decline { code: DeclineCode::Refused, detail: String::new() });
    let of_gateway = [
        GatewayState::Prepared,
        declined,
        GatewayState::Authorized,
        GatewayState::Captured,
        GatewayState::Voided,
        GatewayState::Expired,
    ];
    let reason = || "why".to_owned();
    for (row, expected) in [
        (payment(State::Requested), [No, No, No, Money, No, No]),
        (payment(State::Authorized), [Yes, Yes, No, Money, Yes, Yes]),
        (of_client(State::Authorized), [Yes, Yes, No, Money, No, No]),
        (payment(State::Capturing), [No; 6]),
        (payment(State::Captured), [Yes, Yes, Yes, No, Yes, Yes]),
        (payment(State::CaptureFailed(reason())), [No, No, Money, Money, No, No]),
        (payment(State::Declined(reason())), [No, No, Money, Money, No, No]),
        (payment(State::Voiding), [No, No, No, Money, No, No]),
        (payment(State::Voided), [No, No, Money, Money, No, No]),
        (payment(State::Cancelled), [No, No, Money, Money, No, No]),
    ] {
        for (state, expected) in of_gateway.iter().zip(expected) {
            let differences = of_payment(&row, Some(&found(state.clone())));
            assert_eq!(differs(&differences), expected, "{}, at the gateway {state:?}: {differences:?}", row.state);
        }
        assert_eq!(differs(&of_payment(&row, None)), Yes, "{}", row.state);
    }
}

#[test]
fn another_amount_is_a_difference() {
    for (amount, expected) in [
        (dollars("20.01"), Differs::Money),
        (dollars("19.99"), Differs::Yes),
        (Money::parse("19", "EUR".parse().unwrap()).unwrap(), Differs::Money),
    ] {
        let found = GatewayPayment { amount, ..found(GatewayState::Captured) };
        assert_eq!(differs(&of_payment(&payment(State::Captured), Some(&found))), expected, "{amount}");
    }
}

#[test]
fn each_refund_is_compared() {
    let details = RefundDetails { refund_id: RefundId(Uuid::from_u128(9)), amount: dollars("5"), restock: None };
    let failed = || RefundState::Failed { reason: RefundFailure::Declined, detail: None };
    let at_gateway =
        |key: u128, amount: &str| GatewayRefund { key: RefundKey(Uuid::from_u128(key)), amount: dollars(amount) };
    for (state, refunds, expected) in [
        (RefundState::Requested, vec![], Differs::No),
        (RefundState::Requested, vec![at_gateway(9, "5")], Differs::No),
        (RefundState::Refunded, vec![at_gateway(9, "5")], Differs::No),
        (failed(), vec![], Differs::No),
        (RefundState::Refunded, vec![], Differs::Yes),
        (failed(), vec![at_gateway(9, "5")], Differs::Money),
        (RefundState::Refunded, vec![at_gateway(9, "6")], Differs::Money),
        (RefundState::Refunded, vec![at_gateway(9, "5"), at_gateway(9, "5")], Differs::Money),
        (RefundState::Refunded, vec![at_gateway(9, "5"), at_gateway(10, "5")], Differs::Money),
    ] {
        let refund = Refund { details: details.clone(), state, lines: None };
        let payment = Payment { refunds: vec![refund.clone()], ..payment(State::Captured) };
        let found = GatewayPayment { refunds: refunds.clone(), ..found(GatewayState::Captured) };
        assert_eq!(differs(&of_payment(&payment, Some(&found))), expected, "{refund:?}, at the gateway {refunds:?}");
    }
    let refund = Refund { details: details.clone(), state: RefundState::Refunded, lines: None };
    let payment = Payment { refunds: vec![refund], ..payment(State::Captured) };
    let failed = FailedRefund { key: RefundKey(details.refund_id.0), reason: "the card is gone".to_owned() };
    let found = GatewayPayment { failed_refunds: vec![failed], ..found(GatewayState::Captured) };
    let [difference] = &of_payment(&payment, Some(&found))[..] else { panic!("one difference") };
    assert!(difference.text.contains("it has failed (the card is gone)"), "{difference:?}");
}
