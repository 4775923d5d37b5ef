//! Writes a [`Diagram`] as a list: for screen readers, and for screens too narrow for the drawing.

use maud::{Markup, html};

use super::model::{Arrow, ArrowState, Diagram, Kind, Lane, Step};
use crate::times::duration;

/// Writes the steps as an ordered list. `details` gives what is to be shown of the event at that place of the timeline.
pub(crate) fn list(diagram: &Diagram, details: impl Fn(usize) -> Markup) -> Markup {
    html! {
        ol .sequence-list {
            @for step in &diagram.steps {
                li .sequence-step .sequence-open[step.to_come] {
                    p .sequence-step-head { (time(diagram, step)) " " (headline(step)) }
                    @if has_lines(step) {
                        ul { @for arrow in &step.arrows { (line(arrow)) } }
                    }
                    @if let Kind::Event { entry: Some(entry), .. } = &step.kind { (details(*entry)) }
                }
            }
        }
    }
}

fn time(diagram: &Diagram, step: &Step) -> Markup {
    html! {
        @if step.to_come {
            span .sequence-when { "still to come" }
        } @else if let Some(at) = step.at {
            time .sequence-when datetime=(at) title=(at) { "+" (duration(at.since(diagram.placed_at))) }
        }
    }
}

fn headline(step: &Step) -> Markup {
    let lane = step.lane.name();
    html! {
        @match &step.kind {
            Kind::Request(request) => { strong { (lane) } " sends " code { (request) } },
            Kind::Event { name, .. } => { strong { (lane) } " publishes " strong { (name) } },
            Kind::Arrival { name } => { strong { (name) } " arrives late at " strong { (lane) } },
            Kind::Note(text) => { strong { (lane) } ": " (text) },
        }
    }
}

/// A request that arrived and changed something needs no line of its own.
fn has_lines(step: &Step) -> bool {
    step.arrows.iter().any(|arrow| step.lane != Lane::Client || arrow.effect.is_some())
}

fn line(arrow: &Arrow) -> Markup {
    let to = arrow.to.name();
    html! {
        li {
            @match arrow.state {
                _ if arrow.to == Lane::Client => { "the " (to) " sees " strong { (arrow.label) } },
                ArrowState::ToCome => { "to " (to) },
                ArrowState::OnItsWay => { "on its way to " (to) },
                ArrowState::Unconfirmed => { "to " (to) ", which need not answer it" },
                ArrowState::Arrived | ArrowState::Ignored | ArrowState::Refused => {
                    (to) @if let Some(took) = arrow.took { " after " (duration(took)) }
                }
            }
            @if let Some(effect) = &arrow.effect { ": " (effect) }
        }
    }
}
