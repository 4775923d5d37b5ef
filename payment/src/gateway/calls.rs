use std::{sync::Arc, time::Duration};

use futures::FutureExt as _;
use prometheus_client::registry::Registry;
use saga_runtime::Readiness;
use saga_support::Backoff;
use shared_events::{Money, OrderId, PaymentMethod, RefundFailure, RefundId};
use tokio::{sync::Semaphore, time::Instant};
use uuid::Uuid;

use super::{
    Decline, DeclineCode, GatewayPayment, GatewayState, Lookup, Outcome, PaymentGateway, PaymentRequest, Reference,
    RefundKey,
    breaker::{Allowed, Breaker},
};
use crate::{
    domain::{Answer, Payment, PaymentKey, Step},
    metrics::{GatewayMetrics, Operation},
};

/// Maximum number of payments that a replica asks the gateway about at the same time.
const MAX_OPEN: usize = 64;
/// The first and the longest pause before the gateway is asked about the same payment again.
const PAUSES: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(15)];
/// After this many attempts, the pause is the longest one.
const MOST_DOUBLINGS: u32 = 12;

/// Asks the gateway what a payment needs, within a time limit, and not while it does not answer.
#[derive(Debug)]
pub(crate) struct Calls {
    gateway: Arc<dyn PaymentGateway>,
    timeout: Duration,
    permits: Semaphore,
    breaker: Breaker,
    metrics: GatewayMetrics,
}

/// What is asked about a payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Question {
    pub(crate) step: Step,
    key: PaymentKey,
    order_id: OrderId,
    /// That of the payment or, if a refund is asked for, of the refund.
    amount: Money,
    method: Option<PaymentMethod>,
    reference: Option<Reference>,
    /// How often it was asked before, without an answer.
    attempts: u32,
    /// Whether an earlier question may have been acted on.
    is_uncertain: bool,
}

impl Question {
    /// Returns what is to be asked about a payment, if anything is.
    pub(crate) fn about(payment: &Payment) -> Option<Self> {
        let step = payment.step()?;
        let amount = match step {
            Step::Refund(id) => payment.refund(id)?.details.amount,
            Step::Prepare | Step::Authorize | Step::Capture | Step::Void => payment.amount,
        };
        Some(Self {
            step,
            key: payment.key()?,
            order_id: payment.order_id,
            amount,
            method: payment.task.as_ref().and_then(|task| task.method.clone()),
            reference: payment.reference.clone().map(Reference),
            attempts: payment.task.as_ref().map_or(0, |task| task.attempts),
            is_uncertain: payment.task.as_ref().is_some_and(|task| task.unanswered > 0),
        })
    }
}

/// The result of asking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Asked {
    /// The gateway's answer.
    Answer(Answer),
    /// There is no answer. The same is to be asked again after `pause`.
    Later {
        pause: Duration,
        /// Whether the gateway has certainly not acted on this question or an earlier one.
        not_done: bool,
    },
}

impl Calls {
    pub(crate) fn new(gateway: Arc<dyn PaymentGateway>, timeout: Duration) -> Self {
        let (permits, breaker) = (Semaphore::new(MAX_OPEN), Breaker::default());
        Self { gateway, timeout, permits, breaker, metrics: GatewayMetrics::default() }
    }

    pub(crate) fn register(&self, registry: &mut Registry) {
        self.metrics.register(registry);
        self.breaker.register(registry);
    }

    /// Reports to `readiness` whether the gateway answers.
    pub(crate) fn report_to(&self, readiness: Readiness) {
        self.breaker.report_to(readiness);
    }

    /// Returns for how long nobody else asks about a payment that is being asked about. A question has at most two
    /// calls.
    pub(crate) fn lease(&self) -> Duration {
        self.timeout.saturating_mul(3)
    }

    /// Returns what may be asked now.
    pub(crate) fn allowed(&self) -> Allowed {
        self.breaker.allowed(Instant::now())
    }

    /// Returns how many more payments may be asked about now.
    pub(crate) fn free(&self) -> usize {
        self.permits.available_permits()
    }

    /// Returns whether questions are answered at once, without I/O.
    pub(crate) fn is_immediate(&self) -> bool {
        self.gateway.is_immediate()
    }

    /// Asks a gateway that [is immediate](Self::is_immediate).
    pub(crate) fn ask_at_once(&self, question: &Question) -> Asked {
        // Otherwise tokio makes a task wait that has used many of its permits in a row, as a large batch does. If the
        // gateway's conditions have just changed, the call is dropped before it has done anything.
        tokio::task::unconstrained(self.ask(question))
            .now_or_never()
            .unwrap_or(Asked::Later { pause: Duration::ZERO, not_done: true })
    }

    /// Asks the gateway.
    pub(crate) async fn ask(&self, question: &Question) -> Asked {
        let _permit = self.permits.acquire().await;
        let outcome = self.answer(question).await;
        let not_done = matches!(outcome, Outcome::RetryLater { .. });
        let (reason, after) = match outcome {
            Outcome::Done(answer) => {
                self.breaker.answered();
                return Asked::Answer(answer);
            }
            Outcome::Declined(Decline { detail, .. }) => {
                // The gateway refuses what must be possible, so it or the data needs an operator.
                self.breaker.answered();
                (detail, Some(PAUSES[1]))
            }
            Outcome::Unknown(reason) => {
                self.breaker.failed(Instant::now());
                (reason, None)
            }
            Outcome::RetryLater { reason, after } => {
                self.breaker.failed(Instant::now());
                (reason, after)
            }
        };
        let pause = pause_after(question.attempts).max(after.unwrap_or_default());
        tracing::warn!(
            reason, step = ?question.step, order.id = question.order_id.0, attempts = question.attempts + 1,
            pause_ms = saga_support::millis(pause),
            "the payment gateway has not done what was asked; it is asked again after a pause"
        );
        Asked::Later { pause, not_done }
    }

    /// Records that a probe is sent.
    pub(crate) fn probed(&self) {
        self.breaker.probed(Instant::now());
    }

    /// Asks the gateway for nothing, to see whether it answers.
    pub(crate) async fn probe(&self) {
        let nobody = Lookup::Key(PaymentKey(Uuid::nil()));
        match self.call(Operation::Lookup, self.gateway.lookup(nobody)).await {
            Outcome::Done(_) | Outcome::Declined(_) => self.breaker.probe_answered(),
            Outcome::Unknown(_) | Outcome::RetryLater { .. } => {}
        }
    }

    async fn answer(&self, question: &Question) -> Outcome<Answer> {
        let Question { step, key, order_id, amount, ref reference, is_uncertain, .. } = *question;
        match (step, reference) {
            (Step::Prepare, _) | (_, None) => {
                let request = PaymentRequest { key, order_id, amount, method: question.method.clone() };
                let prepared = self.call(Operation::Prepare, self.gateway.prepare(&request)).await;
                declined_as_answer(prepared.map(|Reference(reference)| Answer::Prepared { reference }))
            }
            (Step::Authorize, Some(reference)) => {
                // An earlier call may have been carried out. The gateway's books decide, and never a second charge.
                if is_uncertain && let Some(known) = self.known(reference).await {
                    return known;
                }
                let authorized = self.call(Operation::Authorize, self.gateway.authorize(reference)).await;
                declined_as_answer(authorized.map(|()| Answer::Authorized))
            }
            // Repeating it takes nothing more, so nothing has to be looked up.
            (Step::Capture, Some(reference)) => {
                match self.call(Operation::Capture, self.gateway.capture(reference)).await {
                    Outcome::Declined(Decline { detail, .. }) => {
                        Outcome::Done(Answer::CaptureFailed { reason: detail })
                    }
                    other => other.map(|Reference(reference)| Answer::Captured { reference }),
                }
            }
            (Step::Void, Some(reference)) => {
                self.call(Operation::Void, self.gateway.void(reference)).await.map(|()| Answer::Voided)
            }
            (Step::Refund(id), Some(reference)) => self.refund(reference, id, amount, is_uncertain).await,
        }
    }

    /// Asks for a refund. If an earlier call may have been carried out, the gateway's books are looked up first.
    async fn refund(&self, reference: &Reference, id: RefundId, amount: Money, is_uncertain: bool) -> Outcome<Answer> {
        let key = RefundKey(id.0);
        if is_uncertain {
            match self.look_up(reference).await {
                Outcome::Done(Some(known))
                    if known.refunds.iter().any(|one| (one.key, one.amount) == (key, amount)) =>
                {
                    return Outcome::Done(Answer::Refunded(id));
                }
                Outcome::Done(_) => {}
                other => return other.map(|_| Answer::Refunded(id)),
            }
        }
        match self.call(Operation::Refund, self.gateway.refund(reference, key, amount)).await {
            Outcome::Declined(Decline { code, detail }) => {
                let reason = match code {
                    DeclineCode::OverCaptured => RefundFailure::ExceedsCaptured,
                    _ => RefundFailure::Declined,
                };
                Outcome::Done(Answer::RefundRefused { refund_id: id, reason, detail })
            }
            other => other.map(|()| Answer::Refunded(id)),
        }
    }

    /// Looks up what became of an authorization; `None` if nothing did, so that it is to be requested again.
    async fn known(&self, reference: &Reference) -> Option<Outcome<Answer>> {
        let declined = |reason: String| Outcome::Done(Answer::Declined { reason });
        match self.look_up(reference).await {
            Outcome::Done(Some(payment)) => match payment.state {
                GatewayState::Prepared => None,
                GatewayState::Authorized | GatewayState::Captured => Some(Outcome::Done(Answer::Authorized)),
                GatewayState::Declined(decline) => Some(declined(decline.detail)),
                GatewayState::Voided => Some(declined("the payment is voided".to_owned())),
                GatewayState::Expired => Some(declined("the authorization has expired".to_owned())),
            },
            Outcome::Done(None) => None,
            other => Some(other.map(|_| Answer::Authorized)),
        }
    }

    /// Looks up a payment in the gateway's books: `Done`, or else it is as uncertain as before.
    async fn look_up(&self, reference: &Reference) -> Outcome<Option<GatewayPayment>> {
        match self.call(Operation::Lookup, self.gateway.lookup(Lookup::Reference(reference))).await {
            Outcome::Done(found) => Outcome::Done(found),
            Outcome::Unknown(reason) | Outcome::RetryLater { reason, .. } => Outcome::Unknown(reason),
            Outcome::Declined(decline) => Outcome::Unknown(decline.detail),
        }
    }

    /// Makes a call within the time limit. After it, the outcome is unknown.
    async fn call<T>(&self, operation: Operation, call: impl Future<Output = Outcome<T>>) -> Outcome<T> {
        // The call is polled first, so one that answers at once needs no timer.
        let late = |_| Outcome::Unknown(format!("no answer within {}", humantime::format_duration(self.timeout)));
        let outcome = tokio::time::timeout(self.timeout, call).await.unwrap_or_else(late);
        self.metrics.called(operation, outcome.is_answer());
        outcome
    }
}

/// A decline is an answer to the question whether the amount is authorized.
fn declined_as_answer(outcome: Outcome<Answer>) -> Outcome<Answer> {
    match outcome {
        Outcome::Declined(Decline { detail, .. }) => Outcome::Done(Answer::Declined { reason: detail }),
        other => other,
    }
}

/// Returns the pause before the next attempt. It is randomised, so that payments that failed together do not stay
/// together.
fn pause_after(attempts: u32) -> Duration {
    let [first, longest] = PAUSES;
    let mut backoff = Backoff::growing(first, longest);
    (0..attempts.min(MOST_DOUBLINGS)).for_each(|_| _ = backoff.next_pause());
    backoff.next_pause()
}
