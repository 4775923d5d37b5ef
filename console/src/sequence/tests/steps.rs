//! The steps of each story, one text a step.

use super::{
    super::model::{Arrow, ArrowState, Diagram, Kind, Step},
    cases,
    story::{Story, at},
};
use crate::times::duration;

/// Writes a step as text: `+3.1 ms inventory StockReserved > order (stock is reserved) > payment`. `!` stands for a
/// message that changed nothing or was refused, `~` for one on its way, `?` for one of which no answer is known. What
/// is still to come begins with `…`.
fn text(diagram: &Diagram, index: usize, step: &Step) -> String {
    let time = step.at.map(|at| format!("+{} ", duration(at.since(diagram.placed_at))));
    let name = match &step.kind {
        Kind::Request(text) | Kind::Note(text) => text.clone(),
        Kind::Event { name, .. } => name.clone(),
        Kind::Arrival { name } => format!("{name} arrives"),
    };
    let arrow = |arrow: &Arrow| {
        let sign = match arrow.state {
            ArrowState::Arrived | ArrowState::ToCome => "",
            ArrowState::Ignored | ArrowState::Refused => "!",
            ArrowState::Unconfirmed => "?",
            ArrowState::OnItsWay => "~",
        };
        let label = if arrow.label == name { String::new() } else { format!(" [{}]", arrow.label) };
        let effect = arrow.effect.as_ref().map(|effect| format!(" ({effect})")).unwrap_or_default();
        let late = if arrow.arrives == index { String::new() } else { format!(" @{}", arrow.arrives) };
        format!(" {sign}> {}{label}{effect}{late}", arrow.to.name())
    };
    let arrows: String = step.arrows.iter().map(arrow).collect();
    let to_come = if step.to_come { "… " } else { "" };
    format!("{to_come}{}{} {name}{arrows}", time.unwrap_or_default(), step.lane.name())
}

fn steps(story: &Story) -> Vec<String> {
    let diagram = story.diagram();
    diagram.steps.iter().enumerate().map(|(index, step)| text(&diagram, index, step)).collect()
}

const PLACED: &str = "+0.0 ms client POST /api/v1/orders > order";
const CREATED: &str = "+0.0 ms order OrderCreated > inventory";
const RESERVED: &str = "+3.1 ms inventory StockReserved > payment > order (stock is reserved)";
const AUTHORIZED: &str = "+8.2 ms payment PaymentAuthorized > order (payment is authorized, status is CONFIRMED)";
const CONFIRMED: &str = "+9.4 ms order OrderConfirmed > inventory (stock is sold) > payment > client [CONFIRMED]";
const CAPTURED: &str = "+10.2 ms payment PaymentCaptured > order (payment is captured)";

#[test]
fn a_confirmed_order() {
    let story = cases::confirmed();
    assert_eq!(steps(&story), [PLACED, CREATED, RESERVED, AUTHORIZED, CONFIRMED, CAPTURED]);
    let diagram = story.diagram();
    assert!(diagram.is_settled());
    assert_eq!(diagram.ended, Some(("CONFIRMED", at(9.4))));
    let took = |step: usize, arrow: usize| diagram.steps[step].arrows[arrow].took.map(|took| took.as_micros());
    assert_eq!(took(1, 0), Some(3_100), "from OrderCreated to the reservation");
    assert_eq!((took(2, 0), took(2, 1)), (Some(5_100), Some(900)), "to payment's answer, and to order");
    assert_eq!((took(4, 0), took(4, 1)), (Some(1_600), Some(800)), "to the sale, and to payment's answer");
    assert_eq!(took(4, 2), None, "of the client nothing is known");
}

#[test]
fn a_capture_that_is_awaited_or_has_failed() {
    let awaited = cases::running_capture();
    let confirmed = "+9.4 ms order OrderConfirmed > inventory (stock is sold) ~> payment > client [CONFIRMED]";
    assert_eq!(steps(&awaited)[4..], [confirmed, "… payment PaymentCaptured > order"]);
    let failed = cases::capture_failed();
    assert_eq!(steps(&failed)[4..], [CONFIRMED, "+10.2 ms payment PaymentCaptureFailed ~> order"]);
    for diagram in [awaited.diagram(), failed.diagram()] {
        assert_eq!((diagram.ended, diagram.waits_for), (Some(("CONFIRMED", at(9.4))), None));
        assert!(!diagram.is_settled());
    }
}

#[test]
fn insufficient_stock() {
    let story = cases::insufficient_stock();
    let rejected = "+2.4 ms inventory StockReservationFailed > order \
                    (stock is rejected (insufficient stock), status is FAILED)";
    let failed = "+3.3 ms order OrderFailed > client [FAILED: insufficient stock]";
    assert_eq!(steps(&story), [PLACED, CREATED, rejected, failed]);
    assert!(story.diagram().is_settled());
}

#[test]
fn a_declined_payment() {
    let story = cases::declined();
    let declined = "+7.0 ms payment PaymentFailed > inventory > order (payment is declined, status is COMPENSATING)";
    let released = "+8.5 ms inventory StockReleased > order (stock is released, status is FAILED)";
    let failed = "+9.2 ms order OrderFailed > client [FAILED: payment declined]";
    assert_eq!(steps(&story), [PLACED, CREATED, RESERVED, declined, released, failed]);
    assert!(story.diagram().is_settled());
}

#[test]
fn a_cancellation_that_crosses_the_authorization() {
    let story = cases::cancelled_in_flight();
    let expected = [
        PLACED,
        CREATED,
        RESERVED,
        "+20.0 ms client POST /api/v1/orders/42/cancel > order",
        "+20.0 ms order OrderCancelRequested > inventory > payment @7",
        "+21.0 ms payment PaymentAuthorized > order (payment is authorized)",
        "+22.5 ms inventory StockReleased > order (stock is released)",
        "+30.0 ms payment OrderCancelRequested arrives",
        "+30.0 ms payment PaymentVoided > order (payment is voided, status is CANCELLED)",
        "+31.0 ms order OrderCancelled > client [CANCELLED]",
    ];
    assert_eq!(steps(&story), expected);
    assert!(story.diagram().is_settled());
}

#[test]
fn a_deadline_that_has_passed() {
    let story = cases::deadline_expired();
    let expected = [
        PLACED,
        CREATED,
        "+3.1 ms inventory StockReserved ?> payment > order (stock is reserved)",
        "+1 min 0 s order its deadline has passed",
        "+1 min 0 s order OrderCancelRequested > inventory ?> payment",
        "+1 min 0 s inventory StockReleased > order (stock is released)",
        "+1 min 5 s order OrderCancelRequested > inventory > payment",
        "+1 min 5 s inventory StockReleased !> order (known already, nothing changes)",
        "+1 min 5 s payment PaymentVoided > order (payment is voided, status is FAILED)",
        "+1 min 5 s order OrderFailed > client [FAILED: deadline exceeded]",
    ];
    assert_eq!(steps(&story), expected);
    assert!(story.diagram().is_settled());
}

#[test]
fn a_duplicate_with_the_same_key() {
    let refused = steps(&cases::refused_duplicate());
    let same = steps(&cases::repeated_request());
    assert_eq!((refused.len(), same.len()), (7, 7));
    let step = "client POST /api/v1/orders, same key !> order";
    assert_eq!(refused[6], format!("{step} (refused (422): the key has other content)"));
    assert_eq!(same[6], format!("{step} (the same order is the answer, nothing changes)"));
}

#[test]
fn several_lines_are_reserved_all_or_nothing() {
    let rejected =
        "+2.4 ms inventory StockReservationFailed > order (stock is rejected (item not found), status is FAILED)";
    let failed = "+3.3 ms order OrderFailed > client [FAILED: item not found]";
    assert_eq!(steps(&cases::several_lines()), [PLACED, CREATED, rejected, failed]);
}

#[test]
fn an_event_that_was_overtaken_is_drawn_at_its_own_time_and_arrives_later() {
    let expected = [
        PLACED,
        CREATED,
        "+3.1 ms inventory StockReserved > payment > order (stock is reserved, status is CONFIRMED) @4",
        "+8.2 ms payment PaymentAuthorized > order (payment is authorized)",
        "+30.0 ms order StockReserved arrives",
        "+30.0 ms order OrderConfirmed > inventory (stock is sold) > payment > client [CONFIRMED]",
        "+31.5 ms payment PaymentCaptured > order (payment is captured)",
    ];
    assert_eq!(steps(&cases::out_of_order()), expected);
}

#[test]
fn the_steps_to_come_follow_from_the_flow_table_and_the_status_function() {
    let rest = [
        "… payment PaymentAuthorized > order",
        "… order OrderConfirmed > inventory > payment > client [CONFIRMED]",
        "… payment PaymentCaptured > order",
    ];
    let nothing_answered = steps(&cases::running_at_the_start());
    assert_eq!(nothing_answered[..2], [PLACED, "+0.0 ms order OrderCreated ~> inventory"]);
    assert_eq!(nothing_answered[2..], ["… inventory StockReserved > payment > order", rest[0], rest[1], rest[2]]);
    let payment_awaited = steps(&cases::running_before_payment());
    let reserved = "+3.1 ms inventory StockReserved ~> payment > order (stock is reserved)";
    assert_eq!(payment_awaited, [PLACED, CREATED, reserved, rest[0], rest[1], rest[2]]);
    for story in [cases::running_at_the_start(), cases::running_before_payment()] {
        let diagram = story.diagram();
        assert_eq!((diagram.ended, diagram.waits_for, diagram.is_settled()), (None, None, false));
    }
}

#[test]
fn the_steps_to_come_of_a_compensation() {
    let declined = "+7.0 ms payment PaymentFailed ~> inventory > order (payment is declined, status is COMPENSATING)";
    let released = "… inventory StockReleased > order";
    let failed = "… order OrderFailed > client [FAILED: payment declined]";
    assert_eq!(steps(&cases::running_compensation()), [PLACED, CREATED, RESERVED, declined, released, failed]);
}

#[test]
fn what_the_order_has_not_learnt_yet_is_on_its_way() {
    let expected = [
        PLACED,
        CREATED,
        "+3.1 ms inventory StockReserved > payment ~> order",
        "+8.2 ms payment PaymentAuthorized ~> order",
        "… order OrderConfirmed > inventory > payment > client [CONFIRMED]",
        "… payment PaymentCaptured > order",
    ];
    assert_eq!(steps(&cases::running_unrecorded()), expected);
}

#[test]
fn the_steps_to_come_of_a_cancellation() {
    let expected = [
        PLACED,
        CREATED,
        "+3.1 ms inventory StockReserved ?> payment > order (stock is reserved)",
        "+20.0 ms client POST /api/v1/orders/42/cancel > order",
        "+20.0 ms order OrderCancelRequested > inventory ~> payment",
        "+22.5 ms inventory StockReleased > order (stock is released)",
        "… payment PaymentVoided > order",
        "… order OrderCancelled > client [CANCELLED]",
    ];
    assert_eq!(steps(&cases::running_cancellation()), expected);
}

#[test]
fn a_confirmed_order_whose_stock_is_not_sold_yet_is_not_settled() {
    let story = cases::confirmed_not_sold();
    assert_eq!(steps(&story)[4], "+9.4 ms order OrderConfirmed ~> inventory > payment > client [CONFIRMED]");
    assert!(!story.diagram().is_settled());
}

#[test]
fn an_event_that_comes_too_late_changes_nothing() {
    let late = "+12.0 ms inventory StockReserved ?> payment !> order (the order has ended, nothing changes)";
    assert_eq!(steps(&cases::late_duplicate()).last().unwrap(), late);
}

#[test]
fn an_overdue_hold_is_answered_with_the_last_decision() {
    let overdue = steps(&cases::overdue_hold());
    assert_eq!(overdue[6], "+5 min 0 s inventory StockHoldOverdue > order (its last decision is published again)");
    assert_eq!(overdue[7], "+5 min 0 s order OrderConfirmed ~> inventory ?> payment");
}

#[test]
fn an_order_without_a_message_in_flight_waits_for_its_deadline() {
    let diagram = cases::running_before_payment().payment("AUTHORIZED", 8.2, 8.2).diagram();
    assert_eq!(diagram.waits_for, None, "the authorization is on its way");
    let lost = Story::placed("lost").learns(
        shared_events::EventType::StockReleased,
        shared_events::EventType::OrderCreated,
        3.0,
        4.0,
        "stock is released",
    );
    assert!(lost.diagram().waits_for.unwrap().contains("deadline"));
}

#[test]
fn without_causation_ids_the_steps_are_the_same() {
    for (with, without) in cases::all().into_iter().zip(cases::all()) {
        assert_eq!(steps(&with), steps(&without.without_causes()), "{}", with.name);
    }
}

#[test]
fn an_effect_is_drawn_below_its_cause_although_the_clocks_differ() {
    use shared_events::EventType as E;
    let story = Story::placed("clocks")
        .learns(E::StockReserved, E::OrderCreated, 50.0, 4.0, "stock is reserved")
        .learns(E::PaymentAuthorized, E::StockReserved, 6.0, 7.0, "payment is authorized, status is CONFIRMED")
        .publishes(E::OrderConfirmed, Some(E::PaymentAuthorized), 7.0)
        .learns(E::PaymentCaptured, E::OrderConfirmed, 7.5, 8.0, "payment is captured")
        .reservation("SOLD", 50.0, 58.0)
        .payment("CAPTURED", 6.0, 7.5);
    let names: Vec<String> = steps(&story).iter().map(|step| step.split(' ').nth(3).unwrap().to_owned()).collect();
    let events = ["OrderCreated", "StockReserved", "PaymentAuthorized", "OrderConfirmed", "PaymentCaptured"];
    assert_eq!(names, ["POST"].into_iter().chain(events).collect::<Vec<_>>());
    let reserved = &story.diagram().steps[2];
    assert!(reserved.arrows.iter().all(|arrow| arrow.took.is_none()), "a negative duration says nothing");
}
