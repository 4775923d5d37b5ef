//! The system of services that the suite plays: three services, and the messages between them.

use saga_message::{MessageId, Route, ServiceSpec};
use uuid::Uuid;

use crate::broker::Outgoing;

/// The name of the service that gives tasks.
pub const SENDER: &str = "sender";
/// The name of the service that does tasks.
pub const WORKER: &str = "worker";
/// The name of the service that audits the work.
pub const AUDITOR: &str = "auditor";

/// From the sender to the worker.
pub static CREATED: Route = route(SENDER, "task.created", "conformance.task.created.v1", &[WORKER]);
/// From the sender, without consumers: it is for listeners outside the system.
pub static CANCELLED: Route = route(SENDER, "task.cancelled", "conformance.task.cancelled.v1", &[]);
/// From the sender to the two others.
pub static WITHDRAWN: Route = route(SENDER, "task.withdrawn", "conformance.task.withdrawn.v1", &[WORKER, AUDITOR]);
/// From the worker to the two others.
pub static DONE: Route = route(WORKER, "task.done", "conformance.task.done.v1", &[AUDITOR, SENDER]);
/// From the auditor to the sender.
pub static AUDITED: Route = route(AUDITOR, "task.audited", "conformance.task.audited.v1", &[SENDER]);

/// All routes of the system.
pub static ROUTES: [Route; 5] = [CREATED, CANCELLED, WITHDRAWN, DONE, AUDITED];

/// All services of the system.
pub static SERVICES: [ServiceSpec; 3] = [service(SENDER), service(WORKER), service(AUDITOR)];

const fn route(
    publisher: &'static str,
    routing_key: &'static str,
    message_type: &'static str,
    consumers: &'static [&'static str],
) -> Route {
    Route { publisher, routing_key, message_type, consumers, can_wait_at: &[] }
}

const fn service(name: &'static str) -> ServiceSpec {
    ServiceSpec { system: "conformance", name, routes: &ROUTES, creates_system_id: false }
}

/// Returns the services with these names.
pub(super) fn services(names: &[&str]) -> Vec<ServiceSpec> {
    SERVICES.into_iter().filter(|service| names.contains(&service.name)).collect()
}

/// Creates a message for `route` with this body.
#[must_use]
pub fn message(route: &'static Route, body: &str) -> Outgoing {
    let (message_id, correlation_id) = (MessageId(Uuid::now_v7()), Some(Uuid::now_v7()));
    Outgoing { message_id, route, correlation_id, events: 1, body: body.into() }
}

/// Creates `count` messages for `route`. Their bodies are their numbers, from `0`.
#[must_use]
pub fn numbered(route: &'static Route, count: usize) -> Vec<Outgoing> {
    numbers(0..count).iter().map(|body| message(route, body)).collect()
}

/// Returns the bodies of [`numbered`] messages.
pub(super) fn numbers(range: impl Iterator<Item = usize>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}
