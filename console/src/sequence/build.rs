use shared_events::{
    CancelReason, EventBody, EventType, Service, Timestamp,
    facts::{Cancel, Fact, Facts, Status},
};

use super::{
    data::{Entry, RepeatedRequest, Saga},
    history::{History, body_of},
    in_flight::{causes, handled_by_state, unrecorded},
    model::{Arrow, ArrowState, Diagram, Kind, Lane, Step},
    rows::{Draft, Rank, arrange},
    to_come::{InFlight, ToCome, awaited, to_come},
};

/// What the steps are made from.
struct Builder<'a> {
    saga: &'a Saga,
    history: History,
    /// What each entry of the timeline says.
    bodies: Vec<Option<EventBody>>,
    /// The entry that caused each entry.
    causes: Vec<Option<usize>>,
    /// When each entry is drawn: at its own time, but not before its cause, whose clock may be ahead; and the number of
    /// causes before it.
    drawn: Vec<(Timestamp, usize)>,
    /// What was published, but has not arrived at the order service, and when.
    published: Vec<(EventBody, Timestamp)>,
    in_flight: Vec<InFlight>,
}

impl Diagram {
    /// Makes the steps of an order's saga from what the services say about it.
    pub(crate) fn of(saga: &Saga) -> Self {
        let history = History::of(saga);
        let facts = history.now();
        let bodies: Vec<_> = saga.timeline.iter().map(|entry| body_of(entry, &saga.order)).collect();
        let causes = causes(saga, &bodies);
        let drawn = drawn_at(&saga.timeline, &causes);
        let published = unrecorded(saga, facts, &bodies);
        let mut builder = Builder { saga, history, bodies, causes, drawn, published, in_flight: Vec::new() };
        let mut drafts = builder.recorded();
        drafts.extend(builder.on_their_way());
        let mut steps = arrange(drafts);
        steps.extend(saga.repeated.map(|repeated| repetition(repeated, steps.len())));
        let ToCome { events, facts: expected } = to_come(facts, builder.in_flight);
        for body in events {
            steps.push(expected_step(&body, end_of(&body, expected), steps.len()));
        }
        Self {
            order_id: saga.order.order_id,
            placed_at: saga.order.created_at,
            ended: facts.status().is_terminal().then(|| (facts.status().as_str(), ended_at(saga))),
            waits_for: (!facts.status().is_terminal() && !expected.status().is_terminal()).then(|| waits_for(facts)),
            steps,
        }
    }
}

/// Returns when each entry is drawn, and how many causes it has.
fn drawn_at(timeline: &[Entry], causes: &[Option<usize>]) -> Vec<(Timestamp, usize)> {
    let mut drawn: Vec<(Timestamp, usize)> = timeline.iter().map(|entry| (entry.time, 0)).collect();
    // A chain of causes is at most as long as the timeline; a circle, which only damaged data has, ends there, too.
    for _ in 0..timeline.len() {
        let before = drawn.clone();
        for (index, cause) in causes.iter().enumerate() {
            let Some((at, depth)) = cause.map(|cause| before[cause]) else { continue };
            drawn[index] = (timeline[index].time.max(at), depth + 1);
        }
        if drawn == before {
            break;
        }
    }
    drawn
}

fn ended_at(saga: &Saga) -> Timestamp {
    let is_end = |entry: &&Entry| {
        let end = [EventType::OrderConfirmed, EventType::OrderFailed, EventType::OrderCancelled];
        entry.event_type().is_some_and(|event| end.contains(&event))
    };
    saga.timeline.iter().find(is_end).map_or(saga.order.updated_at, |entry| entry.time)
}

/// Says what an order waits for if no message about it is known to be on its way.
fn waits_for(facts: Facts) -> &'static str {
    match facts.cancel {
        Cancel::No => "No message about it is known to be on its way. At its deadline it is cancelled.",
        Cancel::Requested(_) => "Its cancellation is not answered yet. The request is repeated until it is.",
    }
}

impl Builder<'_> {
    /// Returns the steps of the timeline, and what led to them.
    fn recorded(&mut self) -> Vec<Draft> {
        let mut drafts = Vec::new();
        let mut ended = false;
        for index in 0..self.saga.timeline.len() {
            drafts.extend(self.origin(index));
            let mut draft = self.event(index);
            let facts = self.history.after[index];
            let end = self.bodies[index].as_ref().and_then(|body| end_of(body, facts)).filter(|_| !ended);
            if let Some(status) = end {
                ended = true;
                draft.step.arrows.push(arrow(Lane::Client, status, ArrowState::Arrived, 0));
                draft.arrivals.push(None);
            }
            drafts.push(draft);
        }
        drafts
    }

    /// Returns what led to an event of the order service: the client's request, or the passing of the deadline.
    fn origin(&self, index: usize) -> Option<Draft> {
        let (at, depth) = self.drawn[index];
        let first = |body: &EventBody| self.bodies[..index].iter().flatten().all(|one| !same_event(one, body));
        let body = self.bodies[index].as_ref().filter(|body| first(body))?;
        let order_id = self.saga.order.order_id;
        let (lane, kind) = match body {
            EventBody::OrderCreated => (Lane::Client, Kind::Request("POST /api/v1/orders".to_owned())),
            EventBody::RefundRequested { .. } => {
                (Lane::Client, Kind::Request(format!("POST /api/v1/orders/{order_id}/refunds")))
            }
            EventBody::OrderCancelRequested { reason: CancelReason::Customer } => {
                (Lane::Client, Kind::Request(format!("POST /api/v1/orders/{order_id}/cancel")))
            }
            EventBody::OrderCancelRequested { reason: CancelReason::Deadline } => {
                (Lane::Order, Kind::Note("its deadline has passed".to_owned()))
            }
            _ => return None,
        };
        let arrows = match &kind {
            Kind::Request(request) => vec![arrow(Lane::Order, request.clone(), ArrowState::Arrived, 0)],
            _ => Vec::new(),
        };
        let arrivals = vec![None; arrows.len()];
        let step = Step { lane, kind, at: Some(at), to_come: false, arrows };
        Some(Draft { key: (at, Rank::Cause, depth, index), step, arrivals })
    }

    fn event(&mut self, index: usize) -> Draft {
        let entry = &self.saga.timeline[index];
        let publisher = entry.publisher().unwrap_or(Service::Order);
        let unknown: &[Service] = if publisher == Service::Order { &[] } else { &[Service::Order] };
        let consumers = entry.event_type().map_or(unknown, |event| event.flow().consumers);
        let (mut arrows, mut arrivals) = (Vec::new(), Vec::new());
        for &to in consumers {
            let (drawn, arrived) = self.message(index, to);
            arrows.push(drawn);
            arrivals.push(arrived);
        }
        let (at, depth) = self.drawn[index];
        let kind = Kind::Event { name: entry.event.clone(), entry: Some(index) };
        let step = Step { lane: publisher.into(), kind, at: Some(entry.time), to_come: false, arrows };
        Draft { key: (at, Rank::Event, depth, index), step, arrivals }
    }

    /// Returns the arrow of an event to one consumer, and when it arrived.
    fn message(&mut self, index: usize, to: Service) -> (Arrow, Option<Timestamp>) {
        let entry = &self.saga.timeline[index];
        let mut drawn = arrow(to.into(), entry.event.clone(), ArrowState::Arrived, 0);
        let arrived = if to == Service::Order { Some(entry.recorded_at) } else { self.handled(index, to) };
        drawn.took = arrived.filter(|at| *at >= entry.time).map(|at| at.since(entry.time));
        if to == Service::Order {
            (drawn.state, drawn.effect) = self.effect(index);
        } else if arrived.is_none() {
            drawn.state = self.unhandled(index, to);
        } else if entry.event_type() == Some(EventType::OrderConfirmed) && to == Service::Inventory {
            drawn.effect = Some("stock is sold".to_owned());
        }
        (drawn, arrived)
    }

    /// Returns when inventory or payment handled the entry: when they published what it caused, or, if that has not
    /// arrived yet, by their state.
    fn handled(&self, index: usize, to: Service) -> Option<Timestamp> {
        let body = self.bodies[index].as_ref()?;
        let effects: Vec<usize> =
            (0..self.causes.len()).filter(|&effect| self.saga.timeline[effect].publisher() == Some(to)).collect();
        let own = effects.iter().filter(|&&effect| self.causes[effect] == Some(index));
        own.map(|&effect| self.saga.timeline[effect].time).min().or_else(|| {
            // Of several requests to cancel, the state does not tell which one was handled.
            let same = |other: usize| self.bodies[other].as_ref().is_some_and(|other| same_event(other, body));
            let earlier = (0..index).any(same);
            let answered = effects.iter().any(|&effect| self.causes[effect].is_some_and(same));
            handled_by_state(self.saga, to, body).filter(|_| !earlier && !answered)
        })
    }

    /// Returns the state of a message of which no answer is known, and puts it in flight if an answer is awaited.
    fn unhandled(&mut self, index: usize, to: Service) -> ArrowState {
        let Some(body) = self.bodies[index].clone() else { return ArrowState::Unconfirmed };
        let held = self.saga.reservation.as_ref().is_some_and(|reservation| reservation.status == "HELD");
        let published = |answer: &EventBody| self.published.iter().any(|(body, _)| same_event(body, answer));
        if awaited(self.history.now(), to, &body).is_some_and(|answer| !published(&answer)) {
            self.in_flight.push(InFlight { body, to });
            ArrowState::OnItsWay
        } else if body == EventBody::OrderConfirmed && to == Service::Inventory && held {
            ArrowState::OnItsWay
        } else {
            ArrowState::Unconfirmed
        }
    }

    /// Returns what an event changed at the order service.
    fn effect(&self, index: usize) -> (ArrowState, Option<String>) {
        let entry = &self.saga.timeline[index];
        let before = self.history.before(index);
        if !entry.changed.is_empty() {
            (ArrowState::Arrived, Some(entry.changed.clone()))
        } else if entry.event_type() == Some(EventType::StockHoldOverdue) {
            (ArrowState::Arrived, Some("its last decision is published again".to_owned()))
        } else if before.status().is_terminal() && !is_about_capture(self.bodies[index].as_ref()) {
            (ArrowState::Ignored, Some("the order has ended, nothing changes".to_owned()))
        } else {
            (ArrowState::Ignored, Some("known already, nothing changes".to_owned()))
        }
    }

    /// Returns the steps of events that were published, but have not arrived at the order service.
    fn on_their_way(&mut self) -> Vec<Draft> {
        let facts = self.history.now();
        let count = self.bodies.len();
        let mut drafts = Vec::new();
        for (order, (body, at)) in self.published.clone().into_iter().enumerate() {
            let event = body.event_type();
            let (mut arrows, mut arrivals) = (Vec::new(), Vec::new());
            for &to in event.flow().consumers {
                let handled = handled_by_state(self.saga, to, &body);
                let open = to == Service::Order || (handled.is_none() && awaited(facts, to, &body).is_some());
                let state = match (open, handled) {
                    (true, _) => ArrowState::OnItsWay,
                    (false, Some(_)) => ArrowState::Arrived,
                    (false, None) => ArrowState::Unconfirmed,
                };
                let mut drawn = arrow(to.into(), event.to_string(), state, 0);
                drawn.took = handled.filter(|handled| *handled >= at).map(|handled| handled.since(at));
                arrows.push(drawn);
                arrivals.push(handled);
                self.in_flight.extend(open.then(|| InFlight { body: body.clone(), to }));
            }
            let kind = Kind::Event { name: event.to_string(), entry: None };
            let step = Step { lane: event.flow().publisher.into(), kind, at: Some(at), to_come: false, arrows };
            drafts.push(Draft { key: (at, Rank::Event, count, count + order), step, arrivals });
        }
        drafts
    }
}

/// Returns how an order with these facts ends with this event; `None` if the event is not the end of an order.
fn end_of(body: &EventBody, facts: Facts) -> Option<String> {
    let status = match body {
        EventBody::OrderConfirmed => Status::Confirmed,
        EventBody::OrderFailed { .. } => Status::Failed,
        EventBody::OrderCancelled => Status::Cancelled,
        _ => return None,
    };
    Some(facts.failure_reason().map_or(status.to_string(), |why| format!("{status}: {}", why.detail())))
}

/// Returns the step of an event that is not published yet.
fn expected_step(body: &EventBody, end: Option<String>, row: usize) -> Step {
    let flow = body.event_type().flow();
    let label = flow.event.to_string();
    let consumers = flow.consumers.iter().map(|&to| arrow(to.into(), label.clone(), ArrowState::ToCome, row));
    let end = end.map(|status| arrow(Lane::Client, status, ArrowState::ToCome, row));
    Step {
        lane: flow.publisher.into(),
        kind: Kind::Event { name: label.clone(), entry: None },
        at: None,
        to_come: true,
        arrows: consumers.chain(end).collect(),
    }
}

/// Returns the step of a request that was made again.
fn repetition(repeated: RepeatedRequest, row: usize) -> Step {
    let request = "POST /api/v1/orders, same key".to_owned();
    let (state, effect) = match repeated {
        RepeatedRequest::SameContent => (ArrowState::Ignored, "the same order is the answer, nothing changes"),
        RepeatedRequest::OtherContent => (ArrowState::Refused, "refused (422): the key has other content"),
    };
    let mut drawn = arrow(Lane::Order, request.clone(), state, row);
    drawn.effect = Some(effect.to_owned());
    Step { lane: Lane::Client, kind: Kind::Request(request), at: None, to_come: false, arrows: vec![drawn] }
}

fn arrow(to: Lane, label: String, state: ArrowState, arrives: usize) -> Arrow {
    Arrow { to, label, state, took: None, effect: None, arrives }
}

/// Whether the order learns from it what became of the capture, which it does after its end.
fn is_about_capture(body: Option<&EventBody>) -> bool {
    matches!(body.and_then(Fact::of), Some(Fact::Capture(_)))
}

fn same_event(one: &EventBody, other: &EventBody) -> bool {
    let refund = |body: &EventBody| body.refund().map(|refund| refund.refund_id);
    one.event_type() == other.event_type() && refund(one) == refund(other)
}
