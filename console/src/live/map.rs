use maud::{Markup, html};
use shared_events::{FLOWS, Flow, Service};

use super::{
    history::History,
    rates::{number, seconds},
    sample::{Dependency, Sample, ServiceSample},
};

/// The size of the drawing. At 360 units it needs no scaling on a phone.
const SIZE: (f64, f64) = (360.0, 250.0);
/// The half size of a service's box.
const BOX: (f64, f64) = (52.0, 22.0);

/// Renders the services, what each needs, and who publishes what to whom.
pub(super) fn render(sample: &Sample, history: &History) -> Markup {
    html! {
        div.map {
            figure.card {
                (drawing(sample, history))
                figcaption.soft { "Events a second, from publisher to consumer." }
            }
            @for service in &sample.services { (card(service, history)) }
        }
    }
}

fn centre(service: Service) -> (f64, f64) {
    match service {
        Service::Order => (180.0, 34.0),
        Service::Inventory => (70.0, 212.0),
        Service::Payment => (290.0, 212.0),
    }
}

fn drawing(sample: &Sample, history: &History) -> Markup {
    let (width, height) = SIZE;
    let pairs = Service::ALL.into_iter().flat_map(|from| Service::ALL.map(|to| (from, to)));
    let edges: Vec<_> = pairs.filter_map(|(from, to)| edge(from, to, history)).collect();
    html! {
        svg.flow viewBox={ "0 0 " (width) " " (height) } role="img"
            aria-label="The three services and the events between them; the lists beside it say the same." {
            defs {
                marker #arrow viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto" {
                    path.arrow d="M0 0L8 4L0 8Z" {}
                }
            }
            @for edge in &edges { (edge) }
            @for service in &sample.services {
                @let (x, y) = centre(service.service);
                @let class = if is_well(service) { "node" } else { "node down" };
                rect class=(class) x=(x - BOX.0) y=(y - BOX.1) width=(2.0 * BOX.0) height=(2.0 * BOX.1) rx="8" {}
                text.name x=(x) y=(y + 5.0) text-anchor="middle" { (service.service) }
            }
        }
    }
}

/// Draws the arrow from one service to another, if it publishes something for it, with the rate of all these events.
fn edge(from: Service, to: Service, history: &History) -> Option<Markup> {
    let flows: Vec<&Flow> =
        FLOWS.iter().filter(|flow| flow.publisher == from && flow.consumers.contains(&to)).collect();
    flows.first()?;
    let rate = flows.iter().filter_map(|flow| history.rate(flow.event)).reduce(|one, other| one + other);
    let ((x1, y1), (x2, y2)) = (centre(from), centre(to));
    let (dx, dy) = (x2 - x1, y2 - y1);
    let length = dx.hypot(dy);
    let (ux, uy) = (dx / length, dy / length);
    // Beside the arrow in the other direction.
    let (ox, oy) = (-uy * 9.0, ux * 9.0);
    let begin = margin(ux, uy);
    let (x1, y1) = (x1 + ux * begin + ox, y1 + uy * begin + oy);
    let (x2, y2) = (x2 - ux * (begin + 3.0) + ox, y2 - uy * (begin + 3.0) + oy);
    let (lx, ly) = ((x1 + x2) / 2.0 + ox * 1.8, (y1 + y2) / 2.0 + oy * 1.8 + 4.0);
    let class = if rate.is_some_and(|rate| rate > 0.0) { "edge busy" } else { "edge" };
    Some(html! {
        path class=(class) d=(format!("M{x1:.1} {y1:.1}L{x2:.1} {y2:.1}")) marker-end="url(#arrow)" {
            title { (from) " to " (to) ": " (names(&flows)) }
        }
        text.rate x=(format!("{lx:.1}")) y=(format!("{ly:.1}")) text-anchor="middle" { (shown(rate)) }
    })
}

/// Returns how far from its centre a line in this direction leaves a box.
fn margin(ux: f64, uy: f64) -> f64 {
    let horizontal = if ux.abs() > 0.0 { BOX.0 / ux.abs() } else { f64::INFINITY };
    let vertical = if uy.abs() > 0.0 { BOX.1 / uy.abs() } else { f64::INFINITY };
    horizontal.min(vertical) + 2.0
}

fn names(flows: &[&Flow]) -> String {
    flows.iter().map(|flow| flow.event.to_string()).collect::<Vec<_>>().join(", ")
}

fn shown(rate: Option<f64>) -> String {
    rate.map_or_else(|| "–".to_owned(), number)
}

fn is_well(service: &ServiceSample) -> bool {
    service.readiness.as_ref().is_ok_and(|readiness| readiness.dependencies.iter().all(Dependency::is_up))
}

fn card(service: &ServiceSample, history: &History) -> Markup {
    let published = FLOWS.iter().filter(|flow| flow.publisher == service.service);
    html! {
        section.card {
            h3 { (service.service) " " (state(service)) }
            dl {
                @if let Ok(readiness) = &service.readiness {
                    @for Dependency { name, status, .. } in &readiness.dependencies {
                        dt { (name) }
                        dd class=(if status == "ok" { "good" } else { "bad" }) { (status) }
                    }
                }
                dt { "in the queue" } dd { (count(service, "queue_ready_messages")) " messages" }
                dt { "outbox" } dd {
                    (count(service, "outbox_messages")) " messages"
                    @if let Some(age) = service.value("outbox_oldest_age_seconds").filter(|age| *age > 0.0) {
                        ", oldest " (seconds(age))
                    }
                }
                dt { "dead letters" } dd { (count(service, "dead_letters")) }
            }
            table {
                caption { "Publishes" }
                thead { tr { th scope="col" { "event" } th scope="col" { "to" } th.number scope="col" { "/s" } } }
                tbody {
                    @for flow in published {
                        tr {
                            td { (flow.event) }
                            td.soft { (consumers(flow)) }
                            td.number { (shown(history.rate(flow.event))) }
                        }
                    }
                }
            }
        }
    }
}

fn state(service: &ServiceSample) -> Markup {
    let (class, text) = match (&service.readiness, is_well(service)) {
        (Err(_), _) => ("bad", "not reached"),
        (Ok(_), false) => ("bad", "not ready"),
        (Ok(_), true) => ("good", "ready"),
    };
    html! { span class={ "status " (class) } { (text) } }
}

fn consumers(flow: &Flow) -> String {
    let names: Vec<&str> = flow.consumers.iter().map(|consumer| consumer.name()).collect();
    if names.is_empty() { "listeners".to_owned() } else { names.join(", ") }
}

fn count(service: &ServiceSample, metric: &str) -> String {
    service.value(metric).map_or_else(|| "–".to_owned(), |count| format!("{count:.0}"))
}
