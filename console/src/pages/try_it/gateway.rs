use std::{sync::Arc, time::Duration};

use axum::{Form, extract::State, response::Response};
use maud::{Markup, html};
use reqwest::Method;
use serde::{Deserialize, Serialize};
use shared_events::Service;

use super::{
    Notice, OrderForm, examples,
    fields::{Field, refusal},
    respond,
};
use crate::{client::ClientError, layout, state::AppState};

const PATH: &str = "/admin/gateway";
/// The page does not wait longer for a payment service that hangs.
const TIMEOUT: Duration = Duration::from_secs(2);

/// How the simulated gateway behaves.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Conditions {
    latency_ms: u64,
    /// The share of calls that fail, from 0 to 1.
    failure_rate: f64,
}

/// Renders the form for it with what is set now, or why there is none.
pub(super) async fn section(app: &AppState, notice: &Notice) -> Markup {
    let payment = &app.services.payment;
    let set = payment.json::<Conditions>(payment.request(Method::GET, PATH, &[]).timeout(TIMEOUT)).await;
    let content = match set {
        Ok(conditions) => form(conditions, notice),
        // It is another gateway than the simulated one.
        Err(ClientError::Refused { status: 409, .. }) => return html! {},
        Err(error) if error.is_not_found() => html! {
            p { "The console may not set this: start it and the payment service with the same admin token." }
        },
        Err(error) => layout::failure(&error),
    };
    html! {
        section.card {
            h2 { "The payment gateway" }
            (content)
        }
    }
}

fn form(Conditions { latency_ms, failure_rate }: Conditions, notice: &Notice) -> Markup {
    let failure = notice.failure().filter(|error| error.service() == Service::Payment);
    let error = |field: &str| failure.and_then(|error| error.field(field));
    let (latency, failing) = (latency_ms.to_string(), format!("{}", failure_rate * 100.0));
    html! {
        form method="post" action="/try/gateway" {
            div.row {
                (Field::number("latency", "Answers after, ms", &latency).with_error(error("latency_ms")))
                (Field::number("failing", "Calls that fail, %", &failing).with_error(error("failure_rate")))
            }
            p.hint {
                "The simulated gateway, until the payment service is restarted. A failed call is repeated until it \
                 succeeds; an order that waits for too long is cancelled."
            }
            button type="submit" { "Set" }
        }
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct Typed {
    latency: String,
    failing: String,
}

/// Sets how the gateway behaves.
pub(super) async fn set(State(app): State<Arc<AppState>>, Form(typed): Form<Typed>) -> Response {
    let notice = match put(&app, &typed).await {
        Ok(()) => Notice::Done(html! { "The payment gateway is set." }),
        Err(error) => Notice::Failed(error),
    };
    respond(&app, &notice, &OrderForm::default(), &examples::stock()).await
}

async fn put(app: &AppState, typed: &Typed) -> Result<(), ClientError> {
    let refuse = |field, detail| refusal(Service::Payment, field, detail);
    let latency_ms =
        typed.latency.trim().parse().map_err(|_| refuse("latency_ms", "must be a whole number of at least 0"))?;
    let percent = typed.failing.trim().parse::<f64>().ok().filter(|percent| (0.0..=100.0).contains(percent));
    let percent = percent.ok_or_else(|| refuse("failure_rate", "must be a number from 0 to 100"))?;
    let conditions = Conditions { latency_ms, failure_rate: percent / 100.0 };
    app.services.payment.send::<Conditions>(Method::PUT, PATH, &conditions).await.map(drop)
}
