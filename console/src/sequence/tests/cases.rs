//! The stories of orders.

use serde_json::json;
use shared_events::EventType as E;

use super::{super::data::RepeatedRequest, story::Story};

const RESERVED: &str = "stock is reserved";
const CAPTURED: &str = "payment is captured";
const CONFIRMED: &str = "payment is authorized, status is CONFIRMED";

pub(super) fn confirmed() -> Story {
    let story = running_capture().learns(E::PaymentCaptured, E::OrderConfirmed, 10.2, 10.9, CAPTURED);
    story.payment("CAPTURED", 8.2, 10.2).named("confirmed")
}

/// Confirmed, and the gateway has not taken the amount yet.
pub(super) fn running_capture() -> Story {
    reserved("confirmed, capture awaited")
        .learns(E::PaymentAuthorized, E::StockReserved, 8.2, 9.4, CONFIRMED)
        .publishes(E::OrderConfirmed, Some(E::PaymentAuthorized), 9.4)
        .reservation("SOLD", 3.1, 11.0)
        .payment("CAPTURING", 8.2, 9.9)
}

/// The authorization had expired. The order has not learnt it yet.
pub(super) fn capture_failed() -> Story {
    running_capture().payment("CAPTURE_FAILED", 8.2, 10.2).named("confirmed, capture failed")
}

/// An order of which the stock is reserved.
fn reserved(name: &'static str) -> Story {
    Story::placed(name).learns(E::StockReserved, E::OrderCreated, 3.1, 4.0, RESERVED).reservation("HELD", 3.1, 3.1)
}

pub(super) fn insufficient_stock() -> Story {
    let why = "stock is rejected (insufficient stock), status is FAILED";
    let reason = json!({"reason": "INSUFFICIENT_STOCK", "item_sku": "SKU-ABC"});
    Story::placed("insufficient stock")
        .learns(E::StockReservationFailed, E::OrderCreated, 2.4, 3.3, why)
        .saying(reason)
        .publishes(E::OrderFailed, Some(E::StockReservationFailed), 3.3)
        .saying(json!({"reason": "INSUFFICIENT_STOCK"}))
        .reservation("REJECTED", 2.4, 2.4)
}

pub(super) fn declined() -> Story {
    reserved("declined")
        .learns(E::PaymentFailed, E::StockReserved, 7.0, 8.1, "payment is declined, status is COMPENSATING")
        .saying(json!({"reason": "PAYMENT_DECLINED"}))
        .learns(E::StockReleased, E::PaymentFailed, 8.5, 9.2, "stock is released, status is FAILED")
        .publishes(E::OrderFailed, Some(E::StockReleased), 9.2)
        .saying(json!({"reason": "PAYMENT_DECLINED"}))
        .reservation("RELEASED", 3.1, 8.5)
        .payment("DECLINED", 7.0, 7.0)
}

/// The customer cancels while the payment is being authorized: the request and the authorization cross.
pub(super) fn cancelled_in_flight() -> Story {
    reserved("cancelled in flight")
        .publishes(E::OrderCancelRequested, None, 20.0)
        .saying(json!({"reason": "CUSTOMER"}))
        .learns(E::PaymentAuthorized, E::StockReserved, 21.0, 22.0, "payment is authorized")
        .learns(E::StockReleased, E::OrderCancelRequested, 22.5, 24.0, "stock is released")
        .learns(E::PaymentVoided, E::OrderCancelRequested, 30.0, 31.0, "payment is voided, status is CANCELLED")
        .publishes(E::OrderCancelled, Some(E::PaymentVoided), 31.0)
        .reservation("RELEASED", 3.1, 22.5)
        .payment("VOIDED", 21.0, 30.0)
}

/// Payment was not there until after the deadline.
pub(super) fn deadline_expired() -> Story {
    reserved("deadline expired")
        .publishes(E::OrderCancelRequested, None, 60_000.0)
        .saying(json!({"reason": "DEADLINE"}))
        .learns(E::StockReleased, E::OrderCancelRequested, 60_002.0, 60_003.0, "stock is released")
        .publishes(E::OrderCancelRequested, None, 65_000.0)
        .saying(json!({"reason": "DEADLINE"}))
        .learns(E::StockReleased, E::OrderCancelRequested, 65_001.0, 65_002.0, "")
        .learns(E::PaymentVoided, E::OrderCancelRequested, 65_500.0, 65_501.0, "payment is voided, status is FAILED")
        .publishes(E::OrderFailed, Some(E::PaymentVoided), 65_501.0)
        .saying(json!({"reason": "DEADLINE_EXCEEDED"}))
        .reservation("RELEASED", 3.1, 60_002.0)
        .payment("CANCELLED", 65_500.0, 65_500.0)
}

pub(super) fn refused_duplicate() -> Story {
    let story = confirmed().repeated(RepeatedRequest::OtherContent);
    story.named("refused duplicate")
}

pub(super) fn repeated_request() -> Story {
    let story = confirmed().repeated(RepeatedRequest::SameContent);
    story.named("repeated request")
}

pub(super) fn several_lines() -> Story {
    let lines = json!([{"item_sku": "SKU-ABC", "quantity": 2}, {"item_sku": "SKU-XYZ", "quantity": 1}]);
    let why = "stock is rejected (item not found), status is FAILED";
    Story::placed("several lines")
        .with("items", lines)
        .learns(E::StockReservationFailed, E::OrderCreated, 2.4, 3.3, why)
        .saying(json!({"reason": "UNKNOWN_ITEM", "item_sku": "SKU-XYZ"}))
        .publishes(E::OrderFailed, Some(E::StockReservationFailed), 3.3)
        .reservation("REJECTED", 2.4, 2.4)
}

/// The copy of `StockReserved` for the order service was delayed: the payment overtook it.
pub(super) fn out_of_order() -> Story {
    Story::placed("out of order")
        .learns(E::PaymentAuthorized, E::StockReserved, 8.2, 9.4, "payment is authorized")
        .learns(E::StockReserved, E::OrderCreated, 3.1, 30.0, "stock is reserved, status is CONFIRMED")
        .publishes(E::OrderConfirmed, Some(E::StockReserved), 30.0)
        .learns(E::PaymentCaptured, E::OrderConfirmed, 31.5, 32.0, CAPTURED)
        .reservation("SOLD", 3.1, 31.0)
        .payment("CAPTURED", 8.2, 31.5)
}

/// Nothing has answered yet.
pub(super) fn running_at_the_start() -> Story {
    Story::placed("running, nothing answered")
}

/// Payment has not answered yet.
pub(super) fn running_before_payment() -> Story {
    reserved("running, payment awaited")
}

/// The payment is declined, and the stock not released yet.
pub(super) fn running_compensation() -> Story {
    reserved("running, compensating")
        .learns(E::PaymentFailed, E::StockReserved, 7.0, 8.1, "payment is declined, status is COMPENSATING")
        .payment("DECLINED", 7.0, 7.0)
}

/// The order service does not know yet what inventory and payment have done.
pub(super) fn running_unrecorded() -> Story {
    Story::placed("running, answers on their way").reservation("HELD", 3.1, 3.1).payment("AUTHORIZED", 8.2, 8.2)
}

/// A cancellation that payment has not answered.
pub(super) fn running_cancellation() -> Story {
    reserved("running, cancellation awaited")
        .publishes(E::OrderCancelRequested, None, 20.0)
        .saying(json!({"reason": "CUSTOMER"}))
        .learns(E::StockReleased, E::OrderCancelRequested, 22.5, 24.0, "stock is released")
        .reservation("RELEASED", 3.1, 22.5)
}

/// Confirmed, and the stock is not booked as sold yet.
pub(super) fn confirmed_not_sold() -> Story {
    let story = confirmed().reservation("HELD", 3.1, 3.1);
    story.named("confirmed, not sold yet")
}

/// An event that arrived a second time after the end.
pub(super) fn late_duplicate() -> Story {
    let story = confirmed().learns(E::StockReserved, E::OrderCreated, 12.0, 13.0, "");
    story.named("late duplicate")
}

/// Inventory lost the `OrderConfirmed` and asks what became of the order.
pub(super) fn overdue_hold() -> Story {
    let story = confirmed()
        .reservation("HELD", 3.1, 3.1)
        .learns(E::StockHoldOverdue, E::OrderCreated, 300_000.0, 300_001.0, "")
        .publishes(E::OrderConfirmed, Some(E::StockHoldOverdue), 300_001.0);
    story.named("overdue hold")
}

pub(super) fn all() -> Vec<Story> {
    vec![
        confirmed(),
        running_capture(),
        capture_failed(),
        insufficient_stock(),
        declined(),
        cancelled_in_flight(),
        deadline_expired(),
        refused_duplicate(),
        repeated_request(),
        several_lines(),
        out_of_order(),
        running_at_the_start(),
        running_before_payment(),
        running_compensation(),
        running_unrecorded(),
        running_cancellation(),
        confirmed_not_sold(),
        late_duplicate(),
        overdue_hold(),
    ]
}
