use std::{panic::AssertUnwindSafe, pin::Pin, sync::Arc, task::Poll, time::Duration};

use futures::future::{BoxFuture, FutureExt, poll_fn};
use saga_database::Clock;
use saga_support::{Backoff, millis};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{CallError, Mailbox, Participant, batch::Pending};

/// Makes the external calls that inputs need, before any transaction.
///
/// An input whose call returns at once stays in its batch. Any other call runs in a task of its own and delays nothing;
/// its input comes back through the mailbox. A failed call is repeated after a pause, but a caller's command is refused
/// instead.
pub(super) struct ExternalCalls<P: Participant> {
    participant: Arc<P>,
    mailbox: Mailbox<P>,
    waiting: TaskTracker,
    stop: CancellationToken,
}

impl<P: Participant> ExternalCalls<P> {
    pub(super) fn new(participant: Arc<P>, mailbox: Mailbox<P>, stop: CancellationToken) -> Self {
        Self { participant, mailbox, waiting: TaskTracker::new(), stop }
    }

    /// Returns the inputs that can be decided now: those that need no call, and those whose call returned at once.
    pub(super) async fn ready(&self, inputs: Vec<Pending<P>>) -> Vec<Pending<P>> {
        let mut ready = Vec::with_capacity(inputs.len());
        for pending in inputs {
            let needs_call = pending.input.call_result.is_none() && self.participant.needs_call(&pending.input.payload);
            if !needs_call {
                ready.push(pending);
                continue;
            }
            let mut call: BoxFuture<'static, Option<Pending<P>>> =
                call_with_retries(Arc::clone(&self.participant), pending, self.mailbox.clock.clone()).boxed();
            match poll_once(call.as_mut()).await {
                Poll::Ready(pending) => ready.extend(pending),
                Poll::Pending => self.run_in_background(call),
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

async fn call_with_retries<P: Participant>(
    participant: Arc<P>,
    mut pending: Pending<P>,
    clock: Clock,
) -> Option<Pending<P>> {
    let mut backoff = Backoff::growing(Duration::from_millis(200), Duration::from_secs(15));
    loop {
        // A panic is a bug, and must not end the engine, which polls this future first.
        let result = AssertUnwindSafe(participant.call(&pending.input.payload)).catch_unwind().await;
        match result.unwrap_or_else(|_| Err(CallError("the call panicked; see the log".to_owned()))) {
            Ok(result) => {
                pending.input.call_result = Some(result);
                pending.input.at = clock.now();
                return Some(pending);
            }
            Err(error) => {
                pending = pending.refuse_caller(&error.to_string())?;
                let pause = backoff.next_pause();
                tracing::warn!(
                    %error, pause_ms = millis(pause), cause.id = %pending.input.cause.id,
                    "an external call failed; calling again after a pause"
                );
                tokio::time::sleep(pause).await;
            }
        }
    }
}

async fn poll_once<T>(mut future: Pin<&mut (dyn Future<Output = T> + Send)>) -> Poll<T> {
    poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await
}
