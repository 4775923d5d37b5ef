//! Explains to an operator why the broker dead-lettered a message.

use lapin::{
    BasicProperties,
    types::{AMQPValue, FieldTable},
};

use super::{message::number, topology::DELIVERY_LIMIT};

/// Reads the header `x-death`, whose first entry is the latest (<https://www.rabbitmq.com/docs/dlx#effects>). It does
/// not contain how often the message was delivered, only that the limit was exceeded.
pub(crate) fn cause_of_death(properties: &BasicProperties) -> String {
    let Some(death) = properties.headers().as_ref().and_then(latest) else {
        return "it was among the broker's dead letters, which does not say why".to_owned();
    };
    let text = |field: &str| match death.inner().get(field) {
        Some(AMQPValue::LongString(text)) => text.to_string(),
        _ => "(unknown)".to_owned(),
    };
    let why = match text("reason").as_str() {
        "delivery_limit" => format!("delivered more than {DELIVERY_LIMIT} times without an acknowledgement"),
        "rejected" => "rejected by a consumer".to_owned(),
        "expired" => "it waited for longer than a policy of the broker allows".to_owned(),
        "maxlen" => "the queue was longer than a policy of the broker allows".to_owned(),
        reason => format!("given up by the broker for the reason {reason:?}"),
    };
    let times = match death.inner().get("count").and_then(number) {
        Some(count) if count > 1 => format!(", {count} times so far"),
        _ => String::new(),
    };
    format!("{why} (queue {:?}{times})", text("queue"))
}

fn latest(headers: &FieldTable) -> Option<&FieldTable> {
    let Some(AMQPValue::FieldArray(deaths)) = headers.inner().get("x-death") else { return None };
    let Some(AMQPValue::FieldTable(death)) = deaths.as_slice().first() else { return None };
    Some(death)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn died(death: &[(&str, AMQPValue)]) -> String {
        let mut entry = FieldTable::default();
        for (name, value) in death {
            entry.insert((*name).into(), value.clone());
        }
        let mut headers = FieldTable::default();
        headers.insert("x-death".into(), AMQPValue::FieldArray(vec![AMQPValue::FieldTable(entry)].into()));
        cause_of_death(&BasicProperties::default().with_headers(headers))
    }

    fn text(text: &str) -> AMQPValue {
        AMQPValue::LongString(text.into())
    }

    #[test]
    fn each_cause_has_its_text() {
        let often = format!("delivered more than {DELIVERY_LIMIT} times without an acknowledgement (queue \"order\")");
        let once = ("count", AMQPValue::LongLongInt(1));
        assert_eq!(died(&[("reason", text("delivery_limit")), ("queue", text("order")), once.clone()]), often);
        for (reason, expected) in [
            ("rejected", "rejected by a consumer (queue \"order\", 3 times so far)"),
            ("expired", "it waited for longer than a policy of the broker allows (queue \"order\", 3 times so far)"),
            ("maxlen", "the queue was longer than a policy of the broker allows (queue \"order\", 3 times so far)"),
            ("new", "given up by the broker for the reason \"new\" (queue \"order\", 3 times so far)"),
        ] {
            let death = [("reason", text(reason)), ("queue", text("order")), ("count", AMQPValue::LongLongInt(3))];
            assert_eq!(died(&death), expected);
        }
    }

    #[test]
    fn a_missing_reason_is_accepted() {
        assert!(cause_of_death(&BasicProperties::default()).contains("does not say why"));
        assert!(died(&[]).contains("(unknown)"));
        let mut headers = FieldTable::default();
        headers.insert("x-death".into(), text("a text"));
        let properties = BasicProperties::default().with_headers(headers);
        assert!(cause_of_death(&properties).contains("does not say why"));
    }
}
