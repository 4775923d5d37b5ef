//! What is drawn and written.

use maud::{Markup, html};

use super::{
    super::{draw::svg, list::list},
    cases,
    story::Story,
};

fn drawn(story: &Story) -> String {
    svg(&story.diagram(), "A description.").into_string()
}

fn written(story: &Story) -> String {
    list(&story.diagram(), |_| html! {}).into_string()
}

/// With `SEQUENCE_PICTURES` set to a directory, writes all stories as pages that a browser can show.
#[test]
fn every_story_can_be_looked_at() {
    let page = |story: &Story| -> Markup {
        let diagram = story.diagram();
        html! { h2 { (story.name) } (svg(&diagram, story.name)) (list(&diagram, |_| html! {})) }
    };
    for story in cases::all() {
        assert!(page(&story).into_string().contains("</svg>"), "{}", story.name);
    }
    if let Some(directory) = std::env::var_os("SEQUENCE_PICTURES") {
        let style = include_str!("../../../assets/console.css");
        let html = html! {
            (maud::DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    style { (maud::PreEscaped(style)) }
                }
                body { main { @for story in cases::all() { (page(&story)) } } }
            }
        };
        std::fs::write(std::path::Path::new(&directory).join("stories.html"), html.into_string()).unwrap();
    }
}

#[test]
fn the_drawing_has_a_description_and_nothing_inline() {
    for story in cases::all() {
        let svg = drawn(&story);
        assert!(svg.contains("role=\"img\"") && svg.contains("<desc id=\"sequence-description\">A description."));
        for forbidden in ["style=", "<style", "<script", "onclick", "url("] {
            assert!(!svg.contains(forbidden), "{forbidden} in {svg}");
        }
    }
}

#[test]
fn what_is_still_to_come_is_below_a_line() {
    let running = drawn(&cases::running_before_payment());
    let (before, after) = running.split_once("still to come").unwrap();
    assert!(before.contains("StockReserved") && !before.contains("PaymentAuthorized"), "{before}");
    assert!(after.contains("PaymentAuthorized") && after.contains("CONFIRMED"), "{after}");
    assert!(!drawn(&cases::confirmed()).contains("still to come"));
    let written = written(&cases::running_before_payment());
    assert_eq!(written.matches("still to come").count(), 3, "{written}");
}

/// Returns the coordinates of the arrow with this label.
fn ends_of(svg: &str, label: &str) -> Vec<(i32, i32)> {
    let groups = svg.split("<g class=\"sequence-message").skip(1).filter(|group| {
        let label = format!(">{label}</text>");
        group.split("</g>").next().unwrap().contains(&label)
    });
    let number = |group: &str, name: &str| -> i32 {
        let line = group.split("<line class=\"sequence-arrow\"").nth(1).unwrap();
        let after = line.split(&format!("{name}=\"")).nth(1).unwrap();
        after.split('"').next().unwrap().parse().unwrap()
    };
    groups.map(|group| (number(group, "y1"), number(group, "y2"))).collect()
}

#[test]
fn an_overtaken_message_goes_down_and_all_others_are_level() {
    let svg = drawn(&cases::out_of_order());
    let [to_payment, to_order] = ends_of(&svg, "StockReserved")[..] else { panic!("{svg}") };
    let [authorized] = ends_of(&svg, "PaymentAuthorized")[..] else { panic!("{svg}") };
    assert_eq!((to_payment.0, authorized.0), (to_payment.1, authorized.1));
    assert!(to_order.0 < authorized.0 && authorized.0 < to_order.1, "it arrives below the payment");
    for (from, to) in ends_of(&drawn(&cases::confirmed()), "StockReserved") {
        assert_eq!(from, to);
    }
}

#[test]
fn a_message_that_changed_nothing_is_crossed_out() {
    for story in [cases::late_duplicate(), cases::refused_duplicate()] {
        assert_eq!(drawn(&story).matches("sequence-cross").count(), 2, "{}", story.name);
    }
    assert!(!drawn(&cases::confirmed()).contains("sequence-cross"));
    assert!(written(&cases::refused_duplicate()).contains("refused (422)"));
}

#[test]
fn the_list_says_what_the_drawing_shows() {
    let written = written(&cases::cancelled_in_flight());
    let text: String = written.split('<').filter_map(|part| part.split('>').nth(1)).collect();
    for words in [
        "+20.0 ms client sends POST /api/v1/orders/42/cancel",
        "+30.0 ms OrderCancelRequested arrives late at payment",
        "order after 1.0 ms: payment is voided, status is CANCELLED",
        "the client sees CANCELLED",
    ] {
        assert!(text.contains(words), "{words} in {text}");
    }
}
