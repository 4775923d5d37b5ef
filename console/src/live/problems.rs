use std::time::Duration;

use maud::{Markup, html};

use super::{
    rates::seconds,
    sample::{Dependency, Sample, ServiceSample},
};
use crate::layout;

/// Events that have waited for longer are a sign that they are not published. In seconds.
const OLD: f64 = 10.0;

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
    let all: Vec<Markup> = sample.services.iter().flat_map(rendered).collect();
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
        Ok(_) => service.problems().iter().chain(&stuck(service)).map(Problem::render).collect(),
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
    let unread = service.value("queue_consumers").filter(|count| *count < 1.0).map(|_| Problem {
        what: format!("Nobody reads the queue of the {name} service."),
        remedy: "It reconnects by itself; if that lasts, its log says why.".to_owned(),
        page: None,
    });
    [dead, service.unpublished(), aside, unread].into_iter().flatten()
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
    use shared_events::Service;

    use crate::live::{exposition::Exposition, sample::Readiness};

    use super::*;

    fn shown(service: Service, metrics: &str) -> String {
        let readiness = Ok(Readiness { dependencies: Vec::new() });
        let sample = ServiceSample { service, readiness, metrics: Exposition::parse(metrics) };
        rendered(&sample).iter().map(|problem| problem.0.as_str()).collect()
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
        assert_eq!((shown("10"), shown("0")), (String::new(), String::new()));
    }

    #[test]
    fn a_dead_letter_leads_to_the_dead_letters() {
        let shown = shown(Service::Payment, "order_system_dead_letters{service=\"payment\"} 2\n");
        assert!(shown.contains("2 events could not") && shown.contains("href=\"/dead-letters\""), "{shown}");
    }
}
