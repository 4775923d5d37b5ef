//! What is published, and that it is true.

use super::*;

impl World {
    pub(super) fn apply(&mut self, Transition { payment, events }: Transition) {
        self.row = payment.or_else(|| self.row.take());
        events.iter().for_each(|event| self.published(event));
    }

    pub(super) fn published(&mut self, event: &EventBody) {
        match event {
            EventBody::PaymentAuthorized => {
                let expired = self.gateway.values().any(|state| *state == AtGateway::Expired);
                assert!((self.is_charged() || expired) && !self.voided_published, "{self:?}");
                self.authorized_published = true;
            }
            EventBody::PaymentFailed { .. } => assert!(!self.is_charged(), "{self:?}"),
            EventBody::PaymentVoided => self.voided_published = true,
            EventBody::PaymentCaptured => self.capture_is(true),
            EventBody::PaymentCaptureFailed => self.capture_is(false),
            EventBody::PaymentRefunded { refund } => self.refund_is(refund.refund_id, true),
            EventBody::PaymentRefundFailed { refund, .. } => self.refund_is(refund.refund_id, false),
            _ => {}
        }
    }

    /// What is published about a refund is true, and never changes, unless it fails after it was accepted.
    pub(super) fn refund_is(&mut self, id: RefundId, done: bool) {
        let (is_done, is_reversed) = (self.refunded.contains_key(&id), self.reversed.contains(&id));
        assert!(is_done == done || is_reversed, "{self:?}");
        let before = self.refunds_published.insert(id, done);
        assert!(before.is_none_or(|before| before == done) || is_reversed, "{self:?}");
    }

    /// What is published about the capture is true, and never changes.
    pub(super) fn capture_is(&mut self, taken: bool) {
        assert!(self.is_captured() == taken && self.is_confirmed, "{self:?}");
        assert!(self.capture_published.is_none_or(|before| before == taken), "{self:?}");
        self.capture_published = Some(taken);
    }

    /// Returns of each refund, oldest first, whether it has gone back. The row, the gateway's books and what was
    /// published agree on that.
    pub(super) fn settled_refunds(&self) -> Vec<bool> {
        let row = self.row.as_ref().unwrap();
        let settled = |one: &Refund| {
            let (id, done) = (one.details.refund_id, one.state == RefundState::Refunded);
            let agree = [self.refunded.contains_key(&id), self.refunds_published[&id]];
            assert_eq!(agree, [done, done], "{self:?}");
            if let RefundState::Failed { reason, .. } = one.state {
                let is_refused = reason == RefundFailure::ExceedsCaptured || self.reversed.contains(&id);
                assert!(is_refused || !self.is_captured(), "{self:?}");
            }
            done
        };
        row.refunds.iter().map(settled).collect()
    }
}
