//! Draws a [`Diagram`] as SVG. Colours and fonts come from the style sheet: there is only geometry here, because the
//! content security policy allows no inline styles.

use maud::{Markup, html};

use super::model::{Arrow, ArrowState, Diagram, Kind, Lane, Step};
use crate::times::duration;

const WIDTH: i32 = 980;
const GUTTER: i32 = 8;
const HEADER: i32 = 44;
/// Between the top of a row and its first arrow: there is the label.
const ABOVE: i32 = 24;
/// Between two arrows of one row that go in the same direction.
const STACK: i32 = 36;
const TEXT_LINE: i32 = 15;
const BELOW: i32 = 20;
/// The height of the line that says that the rest is still to come.
const DIVIDER: i32 = 30;

/// The place of each step, from top to bottom.
struct Layout {
    /// The height of the first arrow of each step.
    lines: Vec<i32>,
    /// The first step that is still to come, and the height of the line above it.
    divider: Option<(usize, i32)>,
    height: i32,
}

impl Lane {
    fn x(self) -> i32 {
        match self {
            Self::Client => 130,
            Self::Order => 395,
            Self::Inventory => 655,
            Self::Payment => 890,
        }
    }
}

impl Layout {
    fn of(diagram: &Diagram) -> Self {
        let mut top = HEADER + 8;
        let mut divider = None;
        let mut lines = Vec::new();
        for (index, step) in diagram.steps.iter().enumerate() {
            if step.to_come && divider.is_none() {
                divider = Some((index, top + DIVIDER / 2));
                top += DIVIDER;
            }
            let stacked = (0..step.arrows.len()).map(|arrow| place_in_stack(step, arrow)).max().unwrap_or(0);
            let text = text_lines(diagram, index) * TEXT_LINE;
            lines.push(top + ABOVE);
            top += ABOVE + (stacked * STACK + BELOW).max(text);
        }
        Self { lines, divider, height: top + 8 }
    }
}

/// Returns how many arrows in the same direction are drawn above this one.
fn place_in_stack(step: &Step, arrow: usize) -> i32 {
    let right = |one: &Arrow| one.to > step.lane;
    let above = step.arrows[..arrow].iter().filter(|one| right(one) == right(&step.arrows[arrow])).count();
    i32::try_from(above).unwrap_or(0)
}

/// Returns the number of lines of the longest effect that is written at this step.
fn text_lines(diagram: &Diagram, index: usize) -> i32 {
    let arrows = diagram.steps.iter().flat_map(|step| &step.arrows).filter(|arrow| arrow.arrives == index);
    let lines = arrows.filter_map(|arrow| arrow.effect.as_ref()).map(|effect| effect.split(", ").count()).max();
    lines.and_then(|lines| i32::try_from(lines).ok()).unwrap_or(0)
}

/// Draws the diagram. `description` says in words what it shows.
pub(crate) fn svg(diagram: &Diagram, description: &str) -> Markup {
    let layout = Layout::of(diagram);
    html! {
        svg .sequence viewBox=(format!("0 0 {WIDTH} {}", layout.height)) role="img"
            aria-labelledby="sequence-title sequence-description" {
            title #sequence-title { "Sequence diagram of order " (diagram.order_id) }
            desc #sequence-description { (description) }
            @for lane in Lane::ALL { (lifeline(lane, layout.height)) }
            @for (index, step) in diagram.steps.iter().enumerate() {
                @if let Some((_, y)) = layout.divider.filter(|(first, _)| *first == index) { (divider(y)) }
                (row(diagram, &layout, index, step))
            }
        }
    }
}

fn lifeline(lane: Lane, height: i32) -> Markup {
    let x = lane.x();
    html! {
        line .sequence-lifeline x1=(x) y1=(HEADER) x2=(x) y2=(height - 4) {}
        rect .sequence-lane x=(x - 56) y="8" width="112" height="30" rx="6" {}
        text .sequence-lane-name x=(x) y="28" text-anchor="middle" { (lane.name()) }
    }
}

fn divider(y: i32) -> Markup {
    html! {
        line .sequence-divider x1=(GUTTER) y1=(y) x2=(WIDTH - GUTTER) y2=(y) {}
        text .sequence-divider-text x=(GUTTER) y=(y - 4) { "still to come" }
    }
}

fn row(diagram: &Diagram, layout: &Layout, index: usize, step: &Step) -> Markup {
    let y = layout.lines[index];
    let x = step.lane.x();
    // A message with several receivers is one event: its point on the lane is drawn once.
    let class = if step.to_come { "sequence-point sequence-open" } else { "sequence-point" };
    html! {
        @if let Some(at) = step.at {
            text .sequence-time x=(GUTTER) y=(y + 4) { "+" (duration(at.since(diagram.placed_at))) }
        }
        @if let Some(text) = beside(step) {
            text .sequence-label .sequence-later[step.to_come] x=(x + 12) y=(y + 4) { (text) }
        }
        @for number in 0..step.arrows.len() { (arrow(layout, index, step, number)) }
        circle class=(class) cx=(x) cy=(y) r="4" {}
    }
}

/// Returns the text beside a step that sends nothing to a service.
fn beside(step: &Step) -> Option<String> {
    match &step.kind {
        Kind::Note(text) => Some(text.clone()),
        Kind::Event { name, .. } if step.arrows.iter().all(|arrow| arrow.to == Lane::Client) => {
            Some(format!("{name}, for listeners"))
        }
        Kind::Event { .. } | Kind::Request(_) | Kind::Arrival { .. } => None,
    }
}

fn arrow(layout: &Layout, index: usize, step: &Step, number: usize) -> Markup {
    let arrow = &step.arrows[number];
    let down = place_in_stack(step, number) * STACK;
    let (x1, y1, x2) = (step.lane.x(), layout.lines[index] + down, arrow.to.x());
    let level = arrow.arrives == index;
    let y2 = if level { y1 } else { layout.lines[arrow.arrives] };
    let right = x2 > x1;
    let (side, from, to) = if right { (1, "start", "end") } else { (-1, "end", "start") };
    // In the last segment no other lane is between the label and the receiver. A message that goes down crosses others:
    // its label stands where it begins, and its duration where it ends.
    let middle = (x2 + neighbour(arrow.to, if right { -1 } else { 1 })) / 2;
    let (label, took) = if level {
        ((middle, y1 - 6, "middle"), (middle, y1 + 15, "middle"))
    } else {
        ((x1 + side * 12, y1 - 6, from), (x2 - side * 14, y2 + 15, to))
    };
    html! {
        g class=(class(arrow)) {
            @if down > 0 { line .sequence-stem x1=(x1) y1=(y1 - STACK) x2=(x1) y2=(y1) {} }
            line .sequence-arrow x1=(x1) y1=(y1) x2=(x2) y2=(y2) {}
            (head(arrow.state, (x1, y1), (x2, y2)))
            text .sequence-label x=(label.0) y=(label.1) text-anchor=(label.2) { (short(&arrow.label)) }
            @if let Some(text) = below(arrow) {
                text .sequence-took x=(took.0) y=(took.1) text-anchor=(took.2) { (text) }
            }
            @if let Some(effect) = &arrow.effect {
                @for (line, text) in (0..).zip(effect.split(", ")) {
                    text .sequence-effect x=(x2 + side * 10) y=(y2 + 4 + TEXT_LINE * line) text-anchor=(from) { (text) }
                }
            }
        }
    }
}

/// Returns the lane beside this one.
fn neighbour(lane: Lane, by: isize) -> i32 {
    let place = Lane::ALL.iter().position(|one| *one == lane).unwrap_or(0);
    place.checked_add_signed(by).and_then(|place| Lane::ALL.get(place)).unwrap_or(&lane).x()
}

fn below(arrow: &Arrow) -> Option<String> {
    match (arrow.state, arrow.took) {
        (ArrowState::OnItsWay, _) => Some("on its way".to_owned()),
        (_, took) => took.map(duration),
    }
}

fn class(arrow: &Arrow) -> &'static str {
    match arrow.state {
        ArrowState::Arrived => "sequence-message",
        ArrowState::Unconfirmed => "sequence-message sequence-unconfirmed",
        ArrowState::Ignored => "sequence-message sequence-ignored",
        ArrowState::Refused => "sequence-message sequence-refused",
        ArrowState::OnItsWay => "sequence-message sequence-open sequence-on-its-way",
        ArrowState::ToCome => "sequence-message sequence-open",
    }
}

/// Draws the head of an arrow: a triangle, or a cross if the message changed nothing.
fn head(state: ArrowState, from: (i32, i32), to: (i32, i32)) -> Markup {
    let (dx, dy) = (f64::from(to.0 - from.0), f64::from(to.1 - from.1));
    let length = dx.hypot(dy).max(1.0);
    let (ux, uy) = (dx / length, dy / length);
    let tip = (f64::from(to.0) - 5.0 * ux, f64::from(to.1) - 5.0 * uy);
    let at = |back: f64, aside: f64| (tip.0 - back * ux - aside * uy, tip.1 - back * uy + aside * ux);
    let crossed = matches!(state, ArrowState::Ignored | ArrowState::Refused);
    html! {
        @if crossed {
            @for (one, other) in [(at(0.0, -5.0), at(10.0, 5.0)), (at(0.0, 5.0), at(10.0, -5.0))] {
                line .sequence-cross x1=(tenth(one.0)) y1=(tenth(one.1)) x2=(tenth(other.0)) y2=(tenth(other.1)) {}
            }
        } @else {
            @let corners = [tip, at(10.0, -4.5), at(10.0, 4.5)].map(|(x, y)| format!("{},{}", tenth(x), tenth(y)));
            polygon .sequence-head points=(corners.join(" ")) {}
        }
    }
}

fn tenth(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}

/// Returns at most 32 characters of a label: the names of events are shorter, but those of later versions may not be.
fn short(label: &str) -> String {
    if label.chars().count() <= 32 { label.to_owned() } else { label.chars().take(31).chain(['…']).collect() }
}
