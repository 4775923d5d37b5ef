use saga_message::{Header, Message, MessageId, Route, SystemId, Timestamp, is_traceparent};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::{
    Event, EventBody, EventType, FLOWS, FailureReason, Flow, Lines, Money, OrderDetails, OrderId, PaymentMethod,
    Reason, RefundDetails, SagaId, Sku,
};

/// An event with its header: a CloudEvent 1.0 in structured JSON mode, one per message.
///
/// The format is <https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md>, with the
/// extension attributes `correlationid` (the saga), `causationid`, `systemid` and `traceparent` (W3C Trace Context).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// The attributes of the message.
    pub header: Header,
    /// The event.
    pub event: Event,
}

/// Why a message cannot be decoded as an event. Retrying does not help in any of these cases.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// It is not JSON, or not a CloudEvent.
    #[error("not a CloudEvent in JSON: {0}")]
    NotACloudEvent(String),
    /// Its type is not in the flow table.
    #[error("unknown event type {0:?}")]
    UnknownType(String),
    /// Its type is in the flow table, in a version that this program does not know.
    #[error("unknown version of the event {0:?}")]
    UnknownVersion(String),
    /// Its type is known, but its content is invalid.
    #[error("impossible content of {event}: {cause}")]
    ImpossibleContent {
        /// The event, according to its type.
        event: EventType,
        /// What is wrong with its content.
        cause: String,
    },
}

const TYPE_PREFIX: &str = "order-system.";
const VERSION: &str = "v1";

#[derive(Serialize)]
struct CloudEventOut<'a, D> {
    specversion: &'static str,
    id: MessageId,
    source: String,
    r#type: &'static str,
    subject: String,
    time: Timestamp,
    datacontenttype: &'static str,
    correlationid: SagaId,
    causationid: Uuid,
    #[serde(skip_serializing_if = "Option::is_none")]
    systemid: Option<SystemId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    traceparent: Option<&'a str>,
    data: D,
}

#[derive(Deserialize)]
struct CloudEventIn<'a> {
    specversion: String,
    id: MessageId,
    source: String,
    r#type: String,
    subject: String,
    time: Timestamp,
    correlationid: SagaId,
    causationid: Uuid,
    #[serde(default)]
    systemid: Option<SystemId>,
    #[serde(default)]
    traceparent: Option<String>,
    #[serde(borrow)]
    data: &'a RawValue,
}

/// The `data` of an event: the order's id, lines and total, and the fields that only some events have.
#[derive(Serialize)]
struct DataOut<'a> {
    order_id: OrderId,
    lines: &'a Lines,
    total: Money,
    #[serde(skip_serializing_if = "Option::is_none")]
    payment_method: Option<&'a PaymentMethod>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Reason>,
    #[serde(skip_serializing_if = "Option::is_none")]
    item_sku: Option<&'a Sku>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refund: Option<&'a RefundDetails>,
}

#[derive(Deserialize)]
struct WithReason<R> {
    reason: R,
}

#[derive(Deserialize)]
struct OfRefund {
    refund: RefundDetails,
}

#[derive(Deserialize)]
struct RejectedItem {
    reason: FailureReason,
    item_sku: Sku,
}

impl Envelope {
    /// Encodes the event as the body of a message.
    ///
    /// # Panics
    /// Never in practice: the only value without a JSON form is a time outside the years 0 to 9999.
    #[must_use]
    pub fn encode(&self) -> String {
        let flow = self.event.body.event_type().flow();
        let order = &self.event.order;
        let body = &self.event.body;
        let (reason, item_sku, refund) = (body.reason(), body.item_sku(), body.refund());
        // On its way to the payment service, and nowhere else.
        let is_on_the_way = matches!(body, EventBody::OrderCreated | EventBody::StockReserved);
        let payment_method = order.payment_method.as_ref().filter(|_| is_on_the_way);
        serde_json::to_string(&CloudEventOut {
            specversion: "1.0",
            id: self.header.id,
            source: format!("/{}", flow.publisher),
            r#type: flow.route.message_type,
            subject: order.order_id.to_string(),
            time: self.header.time,
            datacontenttype: "application/json",
            correlationid: self.event.saga_id,
            causationid: self.header.causation_id,
            systemid: self.header.system_id,
            traceparent: self.header.traceparent.as_deref(),
            data: DataOut {
                order_id: order.order_id,
                lines: &order.lines,
                total: order.total,
                payment_method,
                reason,
                item_sku,
                refund,
            },
        })
        .expect("an event has string keys and a time of this age")
    }

    /// Decodes the body of a message. Unknown fields are ignored. Never panics.
    ///
    /// # Errors
    /// If the body is not a CloudEvent, its type or version is unknown, or its content is invalid.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let wire: CloudEventIn<'_> =
            serde_json::from_slice(body).map_err(|error| DecodeError::NotACloudEvent(error.to_string()))?;
        if wire.specversion != "1.0" {
            return Err(DecodeError::NotACloudEvent(format!("specversion {:?} is not 1.0", wire.specversion)));
        }
        let flow = flow_of(&wire.r#type)?;
        let event = flow.event;
        let impossible = |cause: String| DecodeError::ImpossibleContent { event, cause };
        if wire.source.strip_prefix('/') != Some(flow.publisher.name()) {
            return Err(impossible(format!("its source is {:?}, not /{}", wire.source, flow.publisher)));
        }
        let order: OrderDetails = data(wire.data).map_err(impossible)?;
        if wire.subject != order.order_id.to_string() {
            return Err(impossible(format!("its subject is {:?}, not the order {}", wire.subject, order.order_id)));
        }
        let body = body_of(event, wire.data).map_err(impossible)?;
        let header = Header {
            id: wire.id,
            time: wire.time,
            causation_id: wire.causationid,
            system_id: wire.systemid,
            traceparent: wire.traceparent.filter(|text| is_traceparent(text)),
        };
        Ok(Self { header, event: Event { saga_id: wire.correlationid, order, body } })
    }
}

impl Message for Envelope {
    type Event = Event;
    type DecodeError = DecodeError;

    fn new(header: Header, event: Event) -> Self {
        Self { header, event }
    }

    fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        Self::decode(body)
    }

    fn encode(&self) -> String {
        self.encode()
    }

    fn system_of(body: &[u8]) -> Option<SystemId> {
        #[derive(Deserialize)]
        struct OfSystem {
            systemid: SystemId,
        }
        serde_json::from_slice::<OfSystem>(body).ok().map(|message| message.systemid)
    }

    fn header(&self) -> &Header {
        &self.header
    }

    fn route(&self) -> &'static Route {
        self.event.body.event_type().flow().route
    }

    fn correlation_id(&self) -> Uuid {
        self.event.saga_id.0
    }

    fn event_name(&self) -> String {
        self.event.body.event_type().to_string()
    }

    fn subject(&self) -> String {
        self.event.order.order_id.to_string()
    }
}

fn flow_of(cloud_event_type: &str) -> Result<&'static Flow, DecodeError> {
    let unknown = || DecodeError::UnknownType(cloud_event_type.to_owned());
    let name = cloud_event_type.strip_prefix(TYPE_PREFIX).ok_or_else(unknown)?;
    let (routing_key, version) = name.rsplit_once('.').ok_or_else(unknown)?;
    let flow = FLOWS.iter().find(|flow| flow.routing_key == routing_key).ok_or_else(unknown)?;
    if version == VERSION { Ok(flow) } else { Err(DecodeError::UnknownVersion(cloud_event_type.to_owned())) }
}

fn data<T: DeserializeOwned>(raw: &RawValue) -> Result<T, String> {
    serde_json::from_str(raw.get()).map_err(|error| error.to_string())
}

/// Checks that the event may have this reason.
fn one_of(reason: FailureReason, possible: &[FailureReason]) -> Result<FailureReason, String> {
    if possible.contains(&reason) { Ok(reason) } else { Err(format!("it cannot fail with {reason:?}")) }
}

fn body_of(event: EventType, raw: &RawValue) -> Result<EventBody, String> {
    Ok(match event {
        EventType::OrderCreated => EventBody::OrderCreated,
        EventType::StockReserved => EventBody::StockReserved,
        EventType::StockReservationFailed => {
            let RejectedItem { reason, item_sku } = data(raw)?;
            let reason = one_of(reason, &[FailureReason::InsufficientStock, FailureReason::UnknownItem])?;
            EventBody::StockReservationFailed { reason, item_sku }
        }
        EventType::PaymentAuthorized => EventBody::PaymentAuthorized,
        EventType::PaymentFailed => {
            let reason = data::<WithReason<_>>(raw)?.reason;
            EventBody::PaymentFailed { reason: one_of(reason, &[FailureReason::PaymentDeclined])? }
        }
        EventType::StockReleased => EventBody::StockReleased,
        EventType::OrderConfirmed => EventBody::OrderConfirmed,
        EventType::OrderFailed => EventBody::OrderFailed { reason: data::<WithReason<_>>(raw)?.reason },
        EventType::OrderCancelled => EventBody::OrderCancelled,
        EventType::OrderCancelRequested => {
            EventBody::OrderCancelRequested { reason: data::<WithReason<_>>(raw)?.reason }
        }
        EventType::PaymentVoided => EventBody::PaymentVoided,
        EventType::StockHoldOverdue => EventBody::StockHoldOverdue,
        EventType::PaymentCaptured => EventBody::PaymentCaptured,
        EventType::PaymentCaptureFailed => EventBody::PaymentCaptureFailed,
        EventType::RefundRequested => EventBody::RefundRequested { refund: data::<OfRefund>(raw)?.refund },
        EventType::PaymentRefunded => EventBody::PaymentRefunded { refund: data::<OfRefund>(raw)?.refund },
        EventType::PaymentRefundFailed => EventBody::PaymentRefundFailed {
            refund: data::<OfRefund>(raw)?.refund,
            reason: data::<WithReason<_>>(raw)?.reason,
        },
        EventType::StockReturned => EventBody::StockReturned { refund: data::<OfRefund>(raw)?.refund },
    })
}
