//! Requests that wait until the gateway has answered about their payment.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::oneshot;

use crate::domain::{Payment, PaymentId};

/// The waiting requests of this replica.
#[derive(Debug, Default)]
pub(crate) struct Waiters(Mutex<HashMap<PaymentId, Vec<oneshot::Sender<Payment>>>>);

impl Waiters {
    /// Starts to wait. An answer that was committed before this is not noticed.
    pub(crate) fn wait_for(&self, payment_id: PaymentId) -> oneshot::Receiver<Payment> {
        let (sender, receiver) = oneshot::channel();
        let mut waiting = self.lock();
        // Requests that have given up leave nothing behind.
        waiting.retain(|_, senders| {
            senders.retain(|sender| !sender.is_closed());
            !senders.is_empty()
        });
        waiting.entry(payment_id).or_default().push(sender);
        receiver
    }

    /// Wakes the requests that wait for this payment.
    pub(crate) fn answered(&self, payment: Payment) {
        for sender in self.lock().remove(&payment.payment_id).into_iter().flatten() {
            let _ = sender.send(payment.clone());
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<PaymentId, Vec<oneshot::Sender<Payment>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
