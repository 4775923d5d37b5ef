use std::{panic::AssertUnwindSafe, pin::Pin, sync::Arc, task::Poll, time::Duration};

use futures::future::{BoxFuture, FutureExt, poll_fn};
use saga_database::Clock;
use saga_support::{Backoff, millis};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{CallError, Mailbox, Participant, batch::Pending};

/// Asks the world outside for the inputs that need it, before any transaction.
///
/// A question that is answered at once goes on in the same batch. Any other waits in a task of its own and holds nobody
/// up: its input comes back through the mailbox. A question that fails is asked again after a pause, except for a caller,
/// who is told.
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

    /// The inputs that can be decided now.
    pub(super) async fn ready(&self, inputs: Vec<Pending<P>>) -> Vec<Pending<P>> {
        let mut ready = Vec::with_capacity(inputs.len());
        for pending in inputs {
            let asks = pending.input.call_result.is_none() && self.participant.needs_call(&pending.input.payload);
            if !asks {
                ready.push(pending);
                continue;
            }
            let mut question: BoxFuture<'static, Option<Pending<P>>> =
                answered(Arc::clone(&self.participant), pending, self.mailbox.clock.clone()).boxed();
            match poll_once(question.as_mut()).await {
                Poll::Ready(answered) => ready.extend(answered),
                Poll::Pending => self.wait_for(question),
            }
        }
        ready
    }

    /// Drops the open questions: their inputs go back to where they came from.
    pub(super) async fn end(self) {
        self.waiting.close();
        self.waiting.wait().await;
    }

    fn wait_for(&self, question: BoxFuture<'static, Option<Pending<P>>>) {
        let (mailbox, stop) = (self.mailbox.clone(), self.stop.clone());
        self.waiting.spawn(async move {
            if let Some(Some(pending)) = stop.run_until_cancelled(question).await {
                mailbox.answered(pending);
            }
        });
    }
}

async fn answered<P: Participant>(participant: Arc<P>, mut pending: Pending<P>, clock: Clock) -> Option<Pending<P>> {
    let mut backoff = Backoff::growing(Duration::from_millis(200), Duration::from_secs(15));
    loop {
        // A panic is a bug, and must not take the engine with it, which polls this first.
        let answer = AssertUnwindSafe(participant.call(&pending.input.payload)).catch_unwind().await;
        match answer.unwrap_or_else(|_| Err(CallError("the call panicked; the log has the place".to_owned()))) {
            Ok(answer) => {
                pending.input.call_result = Some(answer);
                pending.input.at = clock.now();
                return Some(pending);
            }
            Err(error) => {
                pending = pending.refuse_caller(&error.to_string())?;
                let pause = backoff.next_pause();
                tracing::warn!(
                    %error, pause_ms = millis(pause), cause.id = %pending.input.cause.id,
                    "no answer; calling again after a pause"
                );
                tokio::time::sleep(pause).await;
            }
        }
    }
}

async fn poll_once<T>(mut future: Pin<&mut (dyn Future<Output = T> + Send)>) -> Poll<T> {
    poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await
}
