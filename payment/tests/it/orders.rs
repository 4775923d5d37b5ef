//! Orders, and the messages about them.

use shared_events::{
    CancelReason, Envelope, Event, EventBody, Header, Line, Lines, MessageId, Money, OrderDetails, OrderId, Quantity,
    SagaId, Sku, Timestamp,
};
use uuid::Uuid;

/// An order with a saga of its own.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    pub(crate) saga_id: SagaId,
    pub(crate) details: OrderDetails,
}

impl Order {
    pub(crate) fn of(order_id: i64, amount: &str) -> Self {
        let line = Line { sku: Sku::parse("SKU-ABC").unwrap(), quantity: Quantity::new(2).unwrap() };
        let total = Money::parse(amount, "USD".parse().unwrap()).unwrap();
        let details = OrderDetails {
            order_id: OrderId(order_id),
            lines: Lines::new([line]).unwrap(),
            total,
            payment_method: None,
        };
        Self { saga_id: SagaId(Uuid::now_v7()), details }
    }

    pub(crate) fn event(&self, body: EventBody) -> Event {
        Event { saga_id: self.saga_id, order: self.details.clone(), body }
    }

    /// A new message about the order.
    pub(crate) fn message(&self, body: EventBody) -> Envelope {
        Envelope {
            header: Header {
                id: MessageId(Uuid::now_v7()),
                time: Timestamp::from_unix_micros(1_763_800_000_000_000),
                causation_id: Uuid::now_v7(),
                system_id: None,
                traceparent: None,
            },
            event: self.event(body),
        }
    }

    pub(crate) fn reserved(&self) -> Envelope {
        self.message(EventBody::StockReserved)
    }

    pub(crate) fn confirmed(&self) -> Envelope {
        self.message(EventBody::OrderConfirmed)
    }

    pub(crate) fn cancel(&self) -> Envelope {
        self.message(EventBody::OrderCancelRequested { reason: CancelReason::Customer })
    }
}
