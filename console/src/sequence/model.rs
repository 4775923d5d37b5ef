use std::time::Duration;

use shared_events::{Service, Timestamp};

/// The steps of one order's saga, in the order in which they are drawn.
#[derive(Debug, Clone)]
pub(crate) struct Diagram {
    /// The order's id.
    pub(crate) order_id: i64,
    /// When the order was placed: times are shown relative to it.
    pub(crate) placed_at: Timestamp,
    /// What happened, then what is still to come.
    pub(crate) steps: Vec<Step>,
    /// The status that the timeline leads to, and since when, if it is final.
    pub(crate) ended: Option<(&'static str, Timestamp)>,
    /// What the order waits for, if it has not ended and no message is on its way.
    pub(crate) waits_for: Option<&'static str>,
}

/// Where something happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Lane {
    /// The client of the order service.
    Client,
    /// The order service.
    Order,
    /// The inventory service.
    Inventory,
    /// The payment service.
    Payment,
}

/// One row of the diagram.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    /// Where it happens.
    pub(crate) lane: Lane,
    /// What happens.
    pub(crate) kind: Kind,
    /// When, by the clock of the lane; `None` if that is not known, or if it is still to come.
    pub(crate) at: Option<Timestamp>,
    /// Whether it has not happened yet.
    pub(crate) to_come: bool,
    /// What it sends to others.
    pub(crate) arrows: Vec<Arrow>,
}

/// What happens in a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The client sends a request.
    Request(String),
    /// A service publishes an event.
    Event {
        /// Its name.
        name: String,
        /// Its place in the timeline; `None` if the order service has not recorded it yet.
        entry: Option<usize>,
    },
    /// A message arrives that others have overtaken.
    Arrival {
        /// The name of the event.
        name: String,
    },
    /// Something that sends no message.
    Note(String),
}

/// A message to one receiver.
#[derive(Debug, Clone)]
pub(crate) struct Arrow {
    /// The receiver.
    pub(crate) to: Lane,
    /// What is written at it.
    pub(crate) label: String,
    /// Whether it has arrived.
    pub(crate) state: ArrowState,
    /// The time between sending and handling; `None` if it is not known, or negative because the clocks differ.
    pub(crate) took: Option<Duration>,
    /// What it changed at the receiver.
    pub(crate) effect: Option<String>,
    /// The index of the step at which it ends: its own, or an [`Kind::Arrival`] if others have overtaken it.
    pub(crate) arrives: usize,
}

/// Whether a message has arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ArrowState {
    /// The receiver has handled it.
    Arrived,
    /// The receiver has handled it, and it changed nothing: a duplicate, or too late.
    Ignored,
    /// The receiver has refused it.
    Refused,
    /// It was sent, and needs no answer: whether it was handled is not recorded.
    Unconfirmed,
    /// It was sent, and the receiver has not handled it yet.
    OnItsWay,
    /// It is not sent yet.
    ToCome,
}

impl Lane {
    /// All lanes, from left to right.
    pub(crate) const ALL: [Self; 4] = [Self::Client, Self::Order, Self::Inventory, Self::Payment];

    /// Returns its name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Order => Service::Order.name(),
            Self::Inventory => Service::Inventory.name(),
            Self::Payment => Service::Payment.name(),
        }
    }
}

impl From<Service> for Lane {
    fn from(service: Service) -> Self {
        match service {
            Service::Order => Self::Order,
            Service::Inventory => Self::Inventory,
            Service::Payment => Self::Payment,
        }
    }
}

impl Arrow {
    /// Whether it is drawn dashed: it has not arrived.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.state, ArrowState::OnItsWay | ArrowState::ToCome)
    }
}

impl Diagram {
    /// Returns the messages that were sent and not handled yet: the event, and who will handle it.
    pub(crate) fn on_their_way(&self) -> impl Iterator<Item = (&str, Service)> {
        let arrows = self.steps.iter().flat_map(|step| &step.arrows);
        let open = arrows.filter(|arrow| arrow.state == ArrowState::OnItsWay);
        open.filter_map(|arrow| {
            let to = Service::ALL.into_iter().find(|service| Lane::from(*service) == arrow.to)?;
            Some((arrow.label.as_str(), to))
        })
    }

    /// Returns whether nothing is left to happen: the order has ended, and every message that matters has arrived.
    pub(crate) fn is_settled(&self) -> bool {
        let open = |step: &Step| step.to_come || step.arrows.iter().any(Arrow::is_open);
        self.ended.is_some() && !self.steps.iter().any(open)
    }
}
