use std::{panic::AssertUnwindSafe, pin::Pin, sync::Arc, task::Poll, time::Duration};

use futures::future::{BoxFuture, FutureExt, poll_fn, try_join_all};
use saga_database::Clock;
use saga_support::{Backoff, millis};
use tokio::sync::Semaphore;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    CallError, Input, Mailbox, Participant,
    pending::{Origin, Pending},
};

/// Makes the external calls that inputs need, before any transaction.
///
/// If an event of a message needs a call, the message is divided into its events, so that none waits for the call of
/// another. (Always, and not only if a call does not return at once: the keys in the inbox must be the same for each
/// delivery.) An input whose call returns at once stays in its batch. Any other call runs in a task of its own and
/// delays nothing; its input comes back through the mailbox. A failed call is repeated after a pause, but a caller's
/// command is refused instead.
pub(super) struct ExternalCalls<P: Participant> {
    participant: Arc<P>,
    mailbox: Mailbox<P>,
    waiting: TaskTracker,
    stop: CancellationToken,
    /// One permit for each open call.
    open: Arc<Semaphore>,
}

/// Maximum number of open calls. A message has up to 128 events, and a prefetch of messages can be waiting for calls.
const MAX_OPEN: usize = 2_048;

impl<P: Participant> ExternalCalls<P> {
    pub(super) fn new(participant: Arc<P>, mailbox: Mailbox<P>, stop: CancellationToken) -> Self {
        Self { participant, mailbox, waiting: TaskTracker::new(), stop, open: Arc::new(Semaphore::new(MAX_OPEN)) }
    }

    /// Returns the inputs that can be decided now: those that need no call, and those whose call returned at once.
    pub(super) async fn ready(&self, inputs: Vec<Pending<P>>) -> Vec<Pending<P>> {
        let mut ready = Vec::with_capacity(inputs.len());
        let needs_call =
            |pending: &Pending<P>| pending.inputs.iter().any(|input| needs_call(&*self.participant, input));
        let divided = inputs
            .into_iter()
            .flat_map(|pending| if needs_call(&pending) { pending.one_by_one() } else { vec![pending] });
        for pending in divided {
            if !needs_call(&pending) {
                ready.push(pending);
                continue;
            }
            let caller = Caller {
                participant: Arc::clone(&self.participant),
                clock: self.mailbox.clock.clone(),
                open: Arc::clone(&self.open),
            };
            let mut calls: BoxFuture<'static, Option<Pending<P>>> = caller.call_for(pending).boxed();
            match poll_once(calls.as_mut()).await {
                Poll::Ready(pending) => ready.extend(pending),
                Poll::Pending => self.run_in_background(calls),
            }
        }
        ready
    }

    /// Waits until the open calls are dropped, which happens when `stop` is cancelled. Their deliveries return to the
    /// queue.
    pub(super) async fn end(self) {
        self.waiting.close();
        self.waiting.wait().await;
    }

    fn run_in_background(&self, call: BoxFuture<'static, Option<Pending<P>>>) {
        let (mailbox, stop) = (self.mailbox.clone(), self.stop.clone());
        self.waiting.spawn(async move {
            if let Some(Some(pending)) = stop.run_until_cancelled(call).await {
                mailbox.put_back(pending);
            }
        });
    }
}

fn needs_call<P: Participant>(participant: &P, input: &Input<P>) -> bool {
    input.call_result.is_none() && participant.needs_call(&input.payload)
}

struct Caller<P: Participant> {
    participant: Arc<P>,
    clock: Clock,
    open: Arc<Semaphore>,
}

impl<P: Participant> Caller<P> {
    /// Makes all calls that the inputs need. Returns `None` if a call failed and its caller was refused.
    async fn call_for(self, mut pending: Pending<P>) -> Option<Pending<P>> {
        let may_wait = matches!(pending.origin, Origin::Queue { .. } | Origin::Itself);
        let inputs = pending.inputs.iter_mut().filter(|input| needs_call(&*self.participant, input));
        let calls = inputs.map(|input| self.call_with_retries(input, may_wait));
        match try_join_all(calls).await {
            Ok(_) => Some(pending),
            Err(error) => pending.refuse_caller(&error.to_string()),
        }
    }

    async fn call_with_retries(&self, input: &mut Input<P>, may_wait: bool) -> Result<(), CallError> {
        let mut backoff = Backoff::growing(Duration::from_millis(200), Duration::from_secs(15));
        loop {
            let permit = self.open.acquire().await.map_err(|error| CallError(error.to_string()))?;
            // A panic is a bug, and must not end the engine, which polls this future first.
            let result = AssertUnwindSafe(self.participant.call(&input.payload)).catch_unwind().await;
            drop(permit);
            match result.unwrap_or_else(|_| Err(CallError("the call panicked; see the log".to_owned()))) {
                Ok(result) => {
                    input.call_result = Some(result);
                    input.at = self.clock.now();
                    return Ok(());
                }
                Err(error) if !may_wait => return Err(error),
                Err(error) => {
                    let pause = backoff.next_pause();
                    tracing::warn!(
                        %error, pause_ms = millis(pause), cause.id = %input.cause.id,
                        "an external call failed; calling again after a pause"
                    );
                    tokio::time::sleep(pause).await;
                }
            }
        }
    }
}

async fn poll_once<T>(mut future: Pin<&mut (dyn Future<Output = T> + Send)>) -> Poll<T> {
    poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await
}
