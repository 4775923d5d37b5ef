//! What an order waits for, and what is wrong there.

use shared_events::{EventType, Service};

use crate::{
    live::{Problem, Sample},
    sequence::Diagram,
};

/// What an order waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wait {
    /// The messages that were sent and not handled yet.
    pub(super) messages: Vec<Message>,
    /// What it waits for if there is none.
    pub(super) otherwise: Option<&'static str>,
}

/// A message that was sent and not handled yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message {
    /// The name of the event.
    pub(super) event: String,
    /// The service that will handle it.
    pub(super) to: Service,
}

/// Returns what an order waits for. Without messages, and with nothing else to wait for, it has ended meanwhile.
pub(super) fn waits(diagram: &Diagram) -> Wait {
    let messages = diagram.on_their_way().map(|(event, to)| Message { event: event.to_owned(), to });
    Wait { messages: messages.collect(), otherwise: diagram.waits_for }
}

impl Message {
    /// Says what is waited for.
    pub(super) fn words(&self) -> String {
        format!("Waits for {}: {} is on its way to it.", self.to, self.event)
    }

    /// Returns the service that published it.
    fn publisher(&self) -> Option<Service> {
        let event = EventType::ALL.into_iter().find(|event| event.to_string() == self.event)?;
        Some(event.flow().publisher)
    }
}

impl Wait {
    /// Returns what is wrong with the services that the order waits for, and whether those that published the messages
    /// cannot send them.
    pub(super) fn problems(&self, sample: &Sample) -> Vec<Problem> {
        let receivers = self.messages.iter().flat_map(|message| sample.of(message.to).problems());
        let publishers = self.messages.iter().filter_map(Message::publisher);
        let unpublished = publishers.filter_map(|service| sample.of(service).unpublished());
        let mut problems = Vec::new();
        for problem in receivers.chain(unpublished) {
            if !problems.contains(&problem) {
                problems.push(problem);
            }
        }
        problems
    }

    /// Says what to do if nothing is known to be wrong.
    pub(super) fn advice(&self) -> String {
        match self.messages.first() {
            Some(message) => format!(
                "Nothing is known to be wrong with {0}: see its log. At its deadline the order is cancelled.",
                message.to
            ),
            None if self.otherwise.is_some() => "A message may be a dead letter, or a queue was emptied.".to_owned(),
            None => "It has gone on meanwhile.".to_owned(),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use serde_json::{Value, json};
    use shared_events::Timestamp;
    use uuid::Uuid;

    use crate::sequence::{Entry, Saga};

    use super::*;

    /// Returns what an order waits for after these events.
    fn after(events: &[EventType], data: &Value) -> Wait {
        let parse = |value: Value| serde_json::from_str(&value.to_string()).unwrap();
        let at = Timestamp::from_unix_micros;
        let timeline = events.iter().zip(1..).map(|(event, number)| Entry {
            event: event.to_string(),
            source: event.flow().publisher.name().to_owned(),
            message_id: Uuid::from_u128(number),
            time: at(i64::try_from(number).unwrap()),
            recorded_at: at(i64::try_from(number).unwrap()),
            changed: "status is …".to_owned(),
            causation_id: Some(Uuid::from_u128(number - 1)),
            data: Some(data.clone()),
            traceparent: None,
        });
        let timeline: Vec<Entry> = timeline.collect();
        let order = json!({
            "order_id": 1, "status": "PENDING", "payment_status": "PENDING", "amount": 1, "currency": "USD",
            "items": [{"item_sku": "SKU-ABC", "quantity": 1}], "created_at": at(0), "updated_at": at(0),
        });
        let saga = Saga { order: parse(order), timeline, reservation: None, payment: None, repeated: None };
        waits(&Diagram::of(&saga))
    }

    fn words(wait: &Wait) -> Vec<String> {
        wait.messages.iter().map(Message::words).collect()
    }

    #[test]
    fn an_order_waits_for_who_has_not_handled_its_message() {
        use EventType::{OrderCancelRequested, OrderCreated, PaymentAuthorized, PaymentFailed, StockReserved};
        let nothing = json!({});
        for (events, data, expected) in [
            (&[OrderCreated][..], nothing.clone(), &["Waits for inventory: OrderCreated is on its way to it."][..]),
            (&[OrderCreated, StockReserved], nothing, &["Waits for payment: StockReserved is on its way to it."]),
            (
                &[OrderCreated, StockReserved, PaymentFailed],
                json!({"reason": "payment_declined"}),
                &["Waits for inventory: PaymentFailed is on its way to it."],
            ),
            (
                &[OrderCreated, OrderCancelRequested],
                json!({"reason": "customer"}),
                &[
                    "Waits for inventory: OrderCancelRequested is on its way to it.",
                    "Waits for payment: OrderCancelRequested is on its way to it.",
                ],
            ),
            (&[OrderCreated, PaymentAuthorized, StockReserved], json!({}), &[]),
        ] {
            assert_eq!(words(&after(events, &data)), expected, "{events:?}");
        }
    }

    #[test]
    fn without_a_known_problem_the_advice_names_who_is_waited_for() {
        let wait = after(&[EventType::OrderCreated], &json!({}));
        assert!(wait.advice().contains("wrong with inventory: see its log"), "{}", wait.advice());
        let unknown = Wait { messages: Vec::new(), otherwise: Some("…") };
        assert!(unknown.advice().contains("dead letter"), "{}", unknown.advice());
        let ended = Wait { messages: Vec::new(), otherwise: None };
        assert!(ended.advice().contains("gone on meanwhile"), "{}", ended.advice());
    }
}
