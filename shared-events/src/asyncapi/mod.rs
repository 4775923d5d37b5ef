//! The AsyncAPI document of the events: who sends what to whom over which exchange, and what a message contains. It is
//! made from the flow table and the limits of the types, so that it cannot say something else.
//!
//! The specification is <https://www.asyncapi.com/docs/reference/specification/v3.1.0>.

mod channels;
mod messages;
mod schemas;

use serde_json::{Map, Value, json};

/// The vhost in `rabbitmq/definitions.json`.
const VHOST: &str = "orders";
/// The version of the AMQP bindings, <https://github.com/asyncapi/bindings/tree/master/amqp>.
const AMQP_BINDINGS: &str = "0.3.0";

const DESCRIPTION: &str = "The events of the order system. Each operation has its service as a tag, and is from the \
     view of this service. For each event a service sends one copy to each consumer, through its direct exchange \
     `<service>.deliveries`, and one to optional listeners, through its topic exchange `<service>.events`. A message \
     has one event or, in the batch form, several events of one type that were decided in one transaction. Messages \
     may come more than once and in any order.";

/// Returns the document, which is the same for all services.
#[must_use]
pub fn document() -> Value {
    json!({
        "asyncapi": "3.1.0",
        "info": {
            "title": "Order system",
            "version": env!("CARGO_PKG_VERSION"),
            "description": DESCRIPTION,
            "license": { "name": "MIT OR Apache-2.0" },
        },
        "defaultContentType": messages::SINGLE,
        "servers": { "rabbitmq": server() },
        "channels": channels::channels(),
        "operations": channels::operations(),
        "components": {
            "messages": messages::messages(),
            "schemas": schemas::schemas(),
            "securitySchemes": { "password": { "type": "userPassword" } },
        },
    })
}

fn server() -> Value {
    json!({
        "host": "rabbitmq:5672",
        "pathname": "/{vhost}",
        "protocol": "amqp",
        "protocolVersion": "0.9.1",
        "description": "RabbitMQ in docker-compose.yml. Elsewhere it is what AMQP_URL says.",
        "variables": { "vhost": { "default": VHOST, "description": "The virtual host" } },
        "security": [reference("components/securitySchemes", "password")],
    })
}

/// Returns a reference to an object of this document.
fn reference(section: &str, name: &str) -> Value {
    json!({ "$ref": format!("#/{section}/{name}") })
}

/// Makes an object of names and values.
fn object(fields: impl IntoIterator<Item = (String, Value)>) -> Value {
    Value::Object(fields.into_iter().collect::<Map<_, _>>())
}
