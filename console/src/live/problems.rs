use maud::{Markup, html};

use super::{
    rates::seconds,
    sample::{Dependency, Sample, ServiceSample},
};
use crate::{layout, pages::is_page};

/// Events that have waited for longer are a sign that they are not published. In seconds.
const OLD: f64 = 10.0;

/// Something that is wrong: what it is, what to do, and the page for it.
struct Problem {
    what: String,
    remedy: String,
    page: Option<(&'static str, &'static str)>,
}

/// Renders what is wrong, or that nothing is.
pub(super) fn render(sample: &Sample) -> Markup {
    let all: Vec<Markup> = sample.services.iter().flat_map(of_service).collect();
    html! {
        @if all.is_empty() {
            p.good { "Nothing is wrong: the services and what they need are up." }
        }
        @for problem in &all { (problem) }
    }
}

fn of_service(service: &ServiceSample) -> Vec<Markup> {
    match &service.readiness {
        Err(error) => vec![layout::failure(error)],
        Ok(readiness) => {
            let down = readiness.dependencies.iter().filter(|dependency| !dependency.is_up());
            let down = down.map(|dependency| down_problem(service, dependency));
            down.chain(measured(service)).map(|problem| problem.render()).collect()
        }
    }
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
    let old = service.value("outbox_oldest_age_seconds").filter(|age| *age > OLD).map(|age| Problem {
        what: format!("Events of the {name} service have waited for {} to be published.", seconds(age)),
        remedy: "They are kept. The broker may be down, or a queue may be missing: see the log of the service."
            .to_owned(),
        page: None,
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
    [dead, old, aside, unread].into_iter().flatten()
}

fn plural(count: f64, noun: &str) -> String {
    if count == 1.0 { noun.to_owned() } else { format!("{noun}s") }
}

impl Problem {
    fn render(&self) -> Markup {
        html! {
            div.problem {
                strong { (self.what) }
                " " (self.remedy)
                @if let Some((path, text)) = self.page.filter(|(path, _)| is_page(path)) {
                    " " a href=(path) { (text) }
                }
            }
        }
    }
}
