use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use axum::http::Uri;
use shared_events::{Money, PaymentMethod};
use uuid::Uuid;

use super::{
    super::{
        DeclineCode, GatewayPayment, GatewayState, Lookup, Outcome, PaymentGateway, PaymentRequest, Reference,
        RefundKey,
    },
    ApiKey,
    client::Client,
    currency::to_stripe,
    failure::Failure,
    state::{self, ORDER_ID, PAYMENT_KEY, authorized, captured, voided},
    wire::{ApiError, Intent, Page, Refund},
};

/// The key of the metadata that has a refund's key.
const REFUND_KEY: &str = "refund_key";

/// With how many idempotency keys a payment is prepared, if Stripe goes on repeating an error for one.
const PREPARE_KEYS: usize = 5;

/// How far back payments are listed that the search may not find yet. Stripe says that it takes up to a minute.
const SEARCH_DELAY: Duration = Duration::from_secs(300);

/// Stripe as the payment gateway.
#[derive(Debug)]
pub struct StripeGateway {
    client: Client,
    /// The means of payment of orders that name none.
    default_method: Option<String>,
}

impl StripeGateway {
    /// Creates the gateway. `url` is that of the API, without `/v1`; a request may take at most `timeout`.
    /// `default_method` is for orders that name no means of payment; without one, those are declined.
    ///
    /// # Errors
    /// If the address is `https`, and this machine trusts no certificate authorities.
    pub fn new(url: &Uri, key: ApiKey, default_method: Option<String>, timeout: Duration) -> anyhow::Result<Self> {
        Ok(Self { client: Client::new(url, key, timeout)?, default_method })
    }

    async fn intent(&self, reference: &Reference) -> Result<Intent, Failure> {
        if !is_intent(reference) {
            return Err(Failure::NotFound("not the id of a PaymentIntent".to_owned()));
        }
        self.client.get(&format!("payment_intents/{reference}"), &[]).await
    }

    /// Changes a PaymentIntent, and returns the outcome according to its state then. If Stripe refuses the request,
    /// another one may have been faster, so the state decides then, too.
    async fn change<T>(&self, intent: &Intent, operation: &str, outcome: fn(&Intent) -> Outcome<T>) -> Outcome<T> {
        let path = format!("payment_intents/{}/{operation}", intent.id);
        // The key is new for each attempt, because Stripe would repeat an error 500 for an old one. Stripe confirms,
        // captures and cancels a PaymentIntent once, whatever the key.
        let error = match self.client.post::<Intent>(&path, &[], &Uuid::now_v7().to_string()).await {
            Ok(intent) => return outcome(&intent),
            Err(Failure::Refused(error)) => error,
            Err(failure) => return failure.into_outcome(refused),
        };
        match self.intent(&Reference(intent.id.clone())).await {
            // Nothing else has changed it, so it is the request that Stripe does not like.
            Ok(now) if now.status == intent.status && now.status != "processing" => refused(error),
            Ok(now) => outcome(&now),
            Err(failure) => failure.before_change(),
        }
    }

    async fn refunds(&self, intent: &Intent) -> Result<Vec<Refund>, Failure> {
        // Nothing was captured, so there are none. (And `localstripe` fails where there is no charge.)
        if intent.status != "succeeded" {
            return Ok(Vec::new());
        }
        self.client.list("refunds", &[("payment_intent", &intent.id)]).await
    }

    /// Returns the PaymentIntents that were prepared with this key.
    async fn intents_of(&self, key: &str) -> Result<Vec<Intent>, Failure> {
        let query = format!("metadata['{PAYMENT_KEY}']:'{key}'");
        let found: Page<Intent> = self.client.get("payment_intents/search", &[("query", &query)]).await?;
        if !found.data.is_empty() {
            return Ok(found.data);
        }
        let since = SystemTime::now() - SEARCH_DELAY;
        let since = since.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs().to_string();
        let recent = self.client.list::<Intent>("payment_intents", &[("created[gte]", &since)]).await?;
        Ok(recent.into_iter().filter(|intent| intent.metadata.get(PAYMENT_KEY).is_some_and(|of| of == key)).collect())
    }

    async fn payment(&self, intent: &Intent) -> Outcome<Option<GatewayPayment>> {
        match self.refunds(intent).await.map(|refunds| state::payment(intent, &refunds)) {
            Ok(Ok(payment)) => Outcome::Done(Some(payment)),
            Ok(Err(reason)) => Outcome::Unknown(reason),
            Err(failure) => failure.before_change(),
        }
    }
}

#[async_trait]
impl PaymentGateway for StripeGateway {
    async fn prepare(&self, request: &PaymentRequest) -> Outcome<Reference> {
        let units = match to_stripe(request.amount) {
            Ok(units) => units.to_string(),
            Err(error) => return Outcome::declined(DeclineCode::Refused, error.to_string()),
        };
        let (key, order_id) = (request.key.0.to_string(), request.order_id.to_string());
        let currency = request.amount.currency().code().to_lowercase();
        let (payment_key, order) = (format!("metadata[{PAYMENT_KEY}]"), format!("metadata[{ORDER_ID}]"));
        let mut fields = vec![
            ("amount", units.as_str()),
            ("currency", &currency),
            ("capture_method", "manual"),
            ("payment_method_types[]", "card"),
            (&payment_key, &key),
            (&order, &order_id),
        ];
        let method = request.method.as_ref().map(PaymentMethod::as_str).or(self.default_method.as_deref());
        fields.extend(method.map(|method| ("payment_method", method)));
        let mut last = String::new();
        for number in 1..=PREPARE_KEYS {
            // Nothing is charged, so another PaymentIntent is harmless: an error that Stripe repeats need not last.
            let idempotency_key = if number == 1 { key.clone() } else { format!("{key}-{number}") };
            match self.client.post::<Intent>("payment_intents", &fields, &idempotency_key).await {
                Ok(intent) => return Outcome::Done(Reference(intent.id)),
                Err(Failure::Unknown { reason, replayed: true }) => last = reason,
                Err(failure) => return failure.into_outcome(refused),
            }
        }
        Outcome::Unknown(last)
    }

    async fn authorize(&self, reference: &Reference) -> Outcome<()> {
        let intent = match self.intent(reference).await {
            Ok(intent) => intent,
            Err(failure) => return failure.before_change(),
        };
        match state::state(&intent) {
            Ok(GatewayState::Prepared) if intent.status == "processing" => authorized(&intent),
            Ok(GatewayState::Prepared) if intent.payment_method.is_none() => {
                Outcome::declined(DeclineCode::Refused, "the order names no means of payment")
            }
            Ok(GatewayState::Prepared) => self.change(&intent, "confirm", authorized).await,
            _ => authorized(&intent),
        }
    }

    async fn capture(&self, reference: &Reference) -> Outcome<Reference> {
        match self.intent(reference).await {
            Ok(intent) if intent.status == "requires_capture" => self.change(&intent, "capture", captured).await,
            Ok(intent) => captured(&intent),
            Err(failure) => failure.before_change(),
        }
    }

    async fn void(&self, reference: &Reference) -> Outcome<()> {
        match self.intent(reference).await {
            Ok(intent) if !matches!(intent.status.as_str(), "canceled" | "succeeded") => {
                self.change(&intent, "cancel", voided).await
            }
            Ok(intent) => voided(&intent),
            Err(failure) => failure.before_change(),
        }
    }

    async fn refund(&self, reference: &Reference, key: RefundKey, amount: Money) -> Outcome<()> {
        let intent = match self.intent(reference).await {
            Ok(intent) => intent,
            Err(failure) => return failure.before_change(),
        };
        if intent.status != "succeeded" {
            return Outcome::declined(DeclineCode::OverCaptured, "nothing is captured");
        }
        let refunds = match self.refunds(&intent).await {
            Ok(refunds) => refunds,
            Err(failure) => return failure.before_change(),
        };
        let units = match to_stripe(amount) {
            Ok(units) => units,
            Err(error) => return Outcome::declined(DeclineCode::Refused, error.to_string()),
        };
        if let Some(refund) = refunds.iter().find(|refund| refund_key(refund) == key) {
            return refunded(refund, units);
        }
        let left =
            intent.amount - refunds.iter().filter(|refund| refund.counts()).map(|refund| refund.amount).sum::<i64>();
        if units > left || !intent.currency.eq_ignore_ascii_case(amount.currency().code()) {
            return Outcome::declined(DeclineCode::OverCaptured, "more than is left of what was captured");
        }
        let (units_text, key_text, key_field) =
            (units.to_string(), key.0.to_string(), format!("metadata[{REFUND_KEY}]"));
        let fields = [("payment_intent", intent.id.as_str()), ("amount", &units_text), (&key_field, &key_text)];
        // Always the same key, also after an error that Stripe repeats. Stripe may still carry out what has failed so,
        // and then a second key would refund twice. Once Stripe has forgotten the key, the list above says what was
        // done.
        match self.client.post::<Refund>("refunds", &fields, &format!("refund-{key_text}")).await {
            Ok(refund) => refunded(&refund, units),
            Err(failure) => failure.into_outcome(refund_refused),
        }
    }

    async fn lookup(&self, payment: Lookup<'_>) -> Outcome<Option<GatewayPayment>> {
        let found = match payment {
            Lookup::Reference(reference) => self.intent(reference).await.map(Some),
            Lookup::Key(key) => self.intents_of(&key.0.to_string()).await.map(|found| {
                let is_begun =
                    |intent: &Intent| state::state(intent).is_ok_and(|state| state != GatewayState::Prepared);
                found.into_iter().max_by_key(is_begun)
            }),
        };
        match found {
            Ok(Some(intent)) => self.payment(&intent).await,
            Ok(None) | Err(Failure::NotFound(_)) => Outcome::Done(None),
            Err(failure) => failure.before_change(),
        }
    }
}

/// Returns the key of a refund. One that was not requested by this program has another key for each id.
pub(super) fn refund_key(refund: &Refund) -> RefundKey {
    let ours = refund.metadata.get(REFUND_KEY).and_then(|key| Uuid::try_parse(key).ok());
    RefundKey(ours.unwrap_or_else(|| Uuid::new_v5(&Uuid::NAMESPACE_URL, refund.id.as_bytes())))
}

/// Returns the outcome of a refund that Stripe has.
fn refunded(refund: &Refund, units: i64) -> Outcome<()> {
    if refund.amount != units {
        Outcome::declined(DeclineCode::KeyReused, "the key was used for another amount")
    } else if refund.counts() {
        Outcome::Done(())
    } else {
        Outcome::declined(DeclineCode::Refused, format!("the refund has failed: {}", refund.failure()))
    }
}

/// A request that Stripe refuses for good. It is a fault of the request, so it is logged.
fn refused<T>(error: ApiError) -> Outcome<T> {
    if error.kind.as_deref() == Some("idempotency_error") {
        return Outcome::declined(DeclineCode::KeyReused, error.detail());
    }
    if error.code.as_deref() == Some("charge_expired_for_capture") {
        return Outcome::declined(DeclineCode::Expired, error.detail());
    }
    tracing::error!(reason = error.detail(), "Stripe refuses a request");
    Outcome::declined(DeclineCode::Refused, error.detail())
}

/// A refund that Stripe refuses for good. What is left was sufficient a moment ago, so another refund was faster.
fn refund_refused(error: ApiError) -> Outcome<()> {
    match error.kind.as_deref() {
        Some("idempotency_error") => Outcome::declined(DeclineCode::KeyReused, error.detail()),
        _ => Outcome::declined(DeclineCode::OverCaptured, error.detail()),
    }
}

/// Returns whether this can be the id of a PaymentIntent, and nothing that would change the path of a request.
fn is_intent(reference: &Reference) -> bool {
    let id = reference.0.strip_prefix("pi_");
    id.is_some_and(|id| !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'))
}
