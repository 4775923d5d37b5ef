//! What the gateway does with a call, as the port promises it.

use super::*;

/// How the gateway's reference of a captured payment ends.
const CAPTURED: &str = "-captured";

pub(super) fn captured(reference: &str) -> String {
    format!("{reference}{CAPTURED}")
}

impl World {
    /// A call reaches the gateway, which keeps what the port promises.
    pub(super) fn act(&mut self, (step, reference): &Call) -> Answer {
        let Some(reference) = reference else {
            let next = format!("ref-{}", self.gateway.len());
            let reference = self.key.get_or_insert(next).clone();
            self.gateway.entry(reference.clone()).or_insert(AtGateway::Prepared);
            return Answer::Prepared { reference };
        };
        // As with some providers, the capture has a reference of its own, which alone is good for refunds.
        let (authorization, is_captured) = match reference.strip_suffix(CAPTURED) {
            Some(authorization) => (authorization, true),
            None => (reference.as_str(), false),
        };
        assert_eq!(is_captured, matches!(step, Step::Refund(_)), "{step:?} by {reference}");
        let state = self.gateway.get_mut(authorization).unwrap();
        match (step, &state) {
            (Step::Authorize, AtGateway::Prepared) if self.accepts => {
                *state = AtGateway::Charged;
                self.charges += 1;
            }
            (Step::Authorize, AtGateway::Prepared) => *state = AtGateway::Declined,
            (Step::Capture, AtGateway::Charged) => *state = AtGateway::Captured,
            (Step::Void, AtGateway::Prepared | AtGateway::Charged) => *state = AtGateway::Voided,
            // A refund is known by its key for ever, because the adapter looks for it in the books.
            (Step::Refund(id), AtGateway::Captured) if !self.reversed.contains(id) => {
                self.refunded.insert(*id, refund(*id).amount);
            }
            _ => {}
        }
        match (step, state) {
            (Step::Void, AtGateway::Captured) => panic!("what is captured is never voided"),
            (Step::Void, _) => Answer::Voided,
            (Step::Capture, AtGateway::Captured) => Answer::Captured { reference: captured(reference) },
            (Step::Capture, _) => Answer::CaptureFailed { reason: "expired".to_owned() },
            (Step::Refund(id), _) if self.reversed.contains(id) => {
                let reason = RefundFailure::Declined;
                Answer::RefundRefused { refund_id: *id, reason, detail: "it has failed".to_owned() }
            }
            (Step::Refund(id), _) => Answer::Refunded(*id),
            // The books have it as authorized, whatever came later.
            (_, AtGateway::Charged | AtGateway::Captured) => Answer::Authorized,
            _ => Answer::Declined { reason: "declined".to_owned() },
        }
    }
}
