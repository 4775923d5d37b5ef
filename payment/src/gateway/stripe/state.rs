//! What a PaymentIntent says about the payment.

use shared_events::Money;

use super::{
    super::{Decline, DeclineCode, FailedRefund, GatewayPayment, GatewayRefund, GatewayState, Outcome, Reference},
    currency::from_stripe,
    gateway::refund_key,
    wire::{Intent, Refund},
};

/// The key of the metadata that has the payment's key, and of that with the order's id.
pub(super) const PAYMENT_KEY: &str = "payment_key";
pub(super) const ORDER_ID: &str = "order_id";

/// Returns how far the payment is. Of a status that is not known here, nothing can be said.
pub(super) fn state(intent: &Intent) -> Result<GatewayState, String> {
    Ok(match intent.status.as_str() {
        "requires_payment_method" => match &intent.last_payment_error {
            Some(error) => GatewayState::Declined(decline(DeclineCode::Refused, error.detail())),
            None => GatewayState::Prepared,
        },
        "requires_confirmation" | "processing" => GatewayState::Prepared,
        "requires_action" => {
            let detail = "the customer would have to confirm the payment, for example at the bank".to_owned();
            GatewayState::Declined(decline(DeclineCode::ActionRequired, detail))
        }
        "requires_capture" => GatewayState::Authorized,
        "succeeded" => GatewayState::Captured,
        // Stripe itself cancels what was not captured in time; the other reasons are of those who ask for it.
        "canceled" => match intent.cancellation_reason.as_deref() {
            Some("automatic" | "expired") => GatewayState::Expired,
            _ => GatewayState::Voided,
        },
        status => return Err(format!("{} has the status {status:?}, which is not known", intent.id)),
    })
}

/// Returns the outcome of an authorization, according to the state.
pub(super) fn authorized(intent: &Intent) -> Outcome<()> {
    match state(intent) {
        Ok(GatewayState::Authorized | GatewayState::Captured) => Outcome::Done(()),
        Ok(GatewayState::Declined(decline)) => Outcome::Declined(decline),
        Ok(GatewayState::Voided) => Outcome::declined(DeclineCode::Voided, "the payment is cancelled"),
        Ok(GatewayState::Expired) => Outcome::declined(DeclineCode::Expired, "the authorization has expired"),
        Ok(GatewayState::Prepared) => Outcome::Unknown(format!("{} is still {}", intent.id, intent.status)),
        Err(reason) => Outcome::Unknown(reason),
    }
}

/// Returns the outcome of a capture, according to the state. The captured payment has the same reference.
pub(super) fn captured(intent: &Intent) -> Outcome<Reference> {
    match state(intent) {
        Ok(GatewayState::Captured) => Outcome::Done(Reference(intent.id.clone())),
        Ok(GatewayState::Authorized) => Outcome::Unknown(format!("{} is still {}", intent.id, intent.status)),
        Ok(GatewayState::Voided) => Outcome::declined(DeclineCode::Voided, "the payment is cancelled"),
        Ok(GatewayState::Expired) => Outcome::declined(DeclineCode::Expired, "the authorization has expired"),
        Ok(GatewayState::Prepared | GatewayState::Declined(_)) => {
            Outcome::declined(DeclineCode::NotAuthorized, "nothing is authorized")
        }
        Err(reason) => Outcome::Unknown(reason),
    }
}

/// Returns the outcome of a void, according to the state.
pub(super) fn voided(intent: &Intent) -> Outcome<()> {
    match state(intent) {
        Ok(GatewayState::Voided | GatewayState::Expired) => Outcome::Done(()),
        Ok(GatewayState::Captured) => Outcome::declined(DeclineCode::AlreadyCaptured, "the amount is captured"),
        Ok(_) => Outcome::Unknown(format!("{} is still {}", intent.id, intent.status)),
        Err(reason) => Outcome::Unknown(reason),
    }
}

/// Returns the payment as Stripe has it. `refunds` are its refunds, newest first, as Stripe lists them.
pub(super) fn payment(intent: &Intent, refunds: &[Refund]) -> Result<GatewayPayment, String> {
    let money = |units, currency: &str| -> Result<Money, String> {
        from_stripe(units, currency).ok_or_else(|| format!("{} has the amount {units} {currency}", intent.id))
    };
    let (made, failed): (Vec<&Refund>, Vec<_>) = refunds.iter().rev().partition(|refund| refund.counts());
    let refunds = made.into_iter().map(|refund| {
        let amount = money(refund.amount, &refund.currency)?;
        Ok(GatewayRefund { key: refund_key(refund), amount })
    });
    let failed = failed.into_iter();
    let failed = failed.map(|refund| FailedRefund { key: refund_key(refund), reason: refund.failure().to_owned() });
    let state = state(intent)?;
    let units = if state == GatewayState::Captured { intent.amount_received } else { None };
    Ok(GatewayPayment {
        reference: Reference(intent.id.clone()),
        amount: money(units.unwrap_or(intent.amount), &intent.currency)?,
        state,
        refunds: refunds.collect::<Result<_, String>>()?,
        failed_refunds: failed.collect(),
    })
}

fn decline(code: DeclineCode, detail: String) -> Decline {
    Decline { code, detail }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn intent(content: &str) -> Intent {
        let body = format!(r#"{{"id": "pi_1", "amount": 2000, "currency": "usd", {content}}}"#);
        serde_json::from_str(&body).unwrap()
    }

    fn code(outcome: &Outcome<()>) -> Option<DeclineCode> {
        match outcome {
            Outcome::Declined(decline) => Some(decline.code),
            _ => None,
        }
    }

    #[test]
    fn each_status_has_a_state() {
        let is = |content: &str| state(&intent(content)).unwrap();
        assert_eq!(is(r#""status": "requires_payment_method""#), GatewayState::Prepared);
        assert_eq!(is(r#""status": "requires_confirmation""#), GatewayState::Prepared);
        assert_eq!(is(r#""status": "processing""#), GatewayState::Prepared);
        assert_eq!(is(r#""status": "requires_capture""#), GatewayState::Authorized);
        assert_eq!(is(r#""status": "succeeded""#), GatewayState::Captured);
        assert_eq!(is(r#""status": "canceled", "cancellation_reason": null"#), GatewayState::Voided);
        assert_eq!(is(r#""status": "canceled", "cancellation_reason": "requested_by_customer""#), GatewayState::Voided);
        assert_eq!(is(r#""status": "canceled", "cancellation_reason": "automatic""#), GatewayState::Expired);
        assert!(state(&intent(r#""status": "a new one""#)).is_err());
    }

    #[test]
    fn what_the_customer_would_have_to_confirm_is_declined_with_its_own_reason() {
        let action = authorized(&intent(r#""status": "requires_action""#));
        assert_eq!(code(&action), Some(DeclineCode::ActionRequired));
        let refused = r#""status": "requires_payment_method", "last_payment_error": {"message": "Declined."}"#;
        assert_eq!(code(&authorized(&intent(refused))), Some(DeclineCode::Refused));
    }

    #[test]
    fn nothing_is_said_of_a_status_that_is_not_known() {
        for status in ["a new one", "processing"] {
            let intent = intent(&format!(r#""status": "{status}""#));
            for outcome in [authorized(&intent), voided(&intent)] {
                assert!(matches!(outcome, Outcome::Unknown(_)), "{status}: {outcome:?}");
            }
        }
    }
}
