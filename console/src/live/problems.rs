use std::time::Duration;

use maud::{Markup, html};

use super::{
    rates::seconds,
    sample::{Dependency, Sample, ServiceSample},
};
use crate::layout;

/// Events that have waited for longer are a sign that they are not published. In seconds.
const OLD: f64 = 10.0;

/// More messages in a queue are a sign that its service is slower than they come, as in the alert `QueueGrowing`.
const MANY: f64 = 1000.0;

/// An order that has been open for longer is stuck. A saga takes milliseconds, so this is far more than usual, and well
/// below the alert `OrdersStuck`: who looks at the console wants to know earlier.
pub(crate) const STUCK_AFTER: Duration = Duration::from_secs(10);

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    /// What it is, as a sentence.
    pub(crate) what: String,
    /// What to do.
    pub(crate) remedy: String,
    /// The path of the page for it, and the text of the link.
    pub(crate) page: Option<(&'static str, &'static str)>,
}

/// Renders what is wrong, or that nothing is.
pub(super) fn render(sample: &Sample) -> Markup {
    // Orders that are stuck come last: what is wrong with a service is the cause.
    let stuck = sample.services.iter().filter_map(stuck).map(|stuck| stuck.render());
    let all: Vec<Markup> = sample.services.iter().flat_map(rendered).chain(stuck).collect();
    html! {
        @if all.is_empty() {
            p.good { "Nothing is wrong: the services and what they need are up." }
        }
        @for problem in &all { (problem) }
    }
}

fn rendered(service: &ServiceSample) -> Vec<Markup> {
    match &service.readiness {
        Err(error) => vec![layout::failure(error)],
        Ok(_) => service.problems().iter().map(Problem::render).collect(),
    }
}

impl ServiceSample {
    /// Returns what is wrong with the service and what it needs.
    pub(crate) fn problems(&self) -> Vec<Problem> {
        match &self.readiness {
            Err(error) => vec![Problem { what: format!("{error}."), remedy: error.remedy(), page: None }],
            Ok(readiness) => {
                let down = readiness.dependencies.iter().filter(|dependency| !dependency.is_up());
                down.map(|dependency| down_problem(self, dependency)).chain(measured(self)).collect()
            }
        }
    }

    /// Returns that its events wait for longer than usual to be published, if they do.
    pub(crate) fn unpublished(&self) -> Option<Problem> {
        let age = self.value("outbox_oldest_age_seconds").filter(|age| *age > OLD)?;
        Some(Problem {
            what: format!("Events of the {} service have waited for {} to be published.", self.service, seconds(age)),
            remedy: "They are kept. The broker may be down, or a queue may be missing: see the log of the service."
                .to_owned(),
            page: None,
        })
    }
}

/// Only the order service has the metric.
fn stuck(service: &ServiceSample) -> Option<Problem> {
    let age = service.value("oldest_open_order_age_seconds").filter(|age| *age > STUCK_AFTER.as_secs_f64())?;
    Some(Problem {
        what: format!("Orders are stuck: the oldest has waited for {}.", seconds(age)),
        remedy: "See what they wait for.".to_owned(),
        page: Some(("/stuck", "To the stuck orders")),
    })
}

fn down_problem(service: &ServiceSample, dependency: &Dependency) -> Problem {
    let detail = dependency.detail.as_deref().unwrap_or("it says nothing more");
    let remedy = match dependency.name.as_str() {
        "database" => "Bring the database back; the service goes on by itself. Clients get 503 until then.",
        "broker" | "queue" => "Bring RabbitMQ back; orders are still accepted, and end once it is there.",
        "system" => {
            "The service was given another system's database: see \"The wrong database\" in docs/operations.md."
        }
        "gateway" => "The payment gateway does not answer; payments are tried again until it does.",
        _ => "The log of the service says more.",
    };
    Problem {
        what: format!("The {} service: {} is down: {detail}.", service.service, dependency.name),
        remedy: remedy.to_owned(),
        page: None,
    }
}

/// What the metrics say is wrong.
fn measured(service: &ServiceSample) -> impl Iterator<Item = Problem> {
    let name = service.service;
    let dead = service.value("dead_letters").filter(|count| *count > 0.0).map(|count| Problem {
        what: format!("{count} {} could not be handled by the {name} service.", plural(count, "event")),
        remedy: "Look at the reason, and redrive or discard them.".to_owned(),
        page: Some(("/dead-letters", "To the dead letters")),
    });
    let aside = service.value("inputs_put_aside").filter(|count| *count > 0.0).map(|count| Problem {
        what: format!("{count} {} of the {name} service wait for locked rows.", plural(count, "message")),
        remedy: "Another session keeps rows of its database locked: end that session.".to_owned(),
        page: None,
    });
    let queued = service.value("queue_ready_messages").filter(|count| *count > MANY).map(|count| Problem {
        what: format!("{count} messages wait in the queue of the {name} service."),
        remedy: "They come faster than it handles them: its log says what it waits for. Or start more replicas of it."
            .to_owned(),
        page: Some(("/stuck", "To the orders that wait")),
    });
    let unread = service.value("queue_consumers").filter(|count| *count < 1.0).map(|_| Problem {
        what: format!("Nobody reads the queue of the {name} service."),
        remedy: "It reconnects by itself; if that lasts, its log says why.".to_owned(),
        page: None,
    });
    [dead, service.unpublished(), aside, queued, unread].into_iter().flatten()
}

fn plural(count: f64, noun: &str) -> String {
    if count == 1.0 { noun.to_owned() } else { format!("{noun}s") }
}

impl Problem {
    /// Renders it, in red.
    pub(crate) fn render(&self) -> Markup {
        html! {
            div.problem {
                strong { (self.what) }
                " " (self.remedy)
                @if let Some((path, text)) = self.page {
                    " " a href=(path) { (text) }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use shared_events::Service;

    use crate::live::{exposition::Exposition, sample::Readiness};

    use super::*;

    /// Returns what the page says if one service has these metrics.
    fn shown(service: Service, metrics: &str) -> String {
        let of = |each| {
            let metrics = if each == service { Exposition::parse(metrics) } else { Exposition::default() };
            ServiceSample { service: each, readiness: Ok(Readiness { dependencies: Vec::new() }), metrics }
        };
        render(&Sample { at: Instant::now(), services: Service::ALL.map(of) }).into_string()
    }

    #[test]
    fn orders_that_are_open_for_too_long_lead_to_their_page() {
        let shown = |age: &str| {
            let metric = format!("order_system_oldest_open_order_age_seconds{{service=\"order\"}} {age}\n");
            shown(Service::Order, &metric)
        };
        let stuck = shown("12.34");
        assert!(stuck.contains("class=\"problem\"") && stuck.contains("the oldest has waited for 12.3 s"), "{stuck}");
        assert!(stuck.contains("href=\"/stuck\""), "{stuck}");
        assert!(shown("10").contains("Nothing is wrong") && shown("0").contains("Nothing is wrong"));
    }

    #[test]
    fn the_cause_comes_before_the_orders_that_are_stuck_because_of_it() {
        let metrics = "order_system_oldest_open_order_age_seconds 60\norder_system_queue_ready_messages 1001\n";
        let shown = shown(Service::Order, metrics);
        let queue = shown.find("1001 messages wait in the queue of the order service").unwrap_or(usize::MAX);
        assert!(queue < shown.find("Orders are stuck").unwrap_or_default(), "{shown}");
    }

    #[test]
    fn a_dead_letter_leads_to_the_dead_letters() {
        let shown = shown(Service::Payment, "order_system_dead_letters{service=\"payment\"} 2\n");
        assert!(shown.contains("2 events could not") && shown.contains("href=\"/dead-letters\""), "{shown}");
    }
}
