use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::oneshot;

/// Where the reply to a command goes: to the caller that waits in [`Mailbox::ask`](super::Mailbox::ask).
///
/// A command that has a reply carries one of these, typed by what its caller gets back. So a caller gets the reply of
/// its own command, and never that of another.
pub struct ReplyTo<T>(Arc<Mutex<Option<oneshot::Sender<T>>>>);

impl<T: Send + 'static> ReplyTo<T> {
    /// The address of a caller, and what the caller waits for. `Mailbox::ask` makes it; tests of a participant may,
    /// too.
    #[must_use]
    pub fn new() -> (Self, oneshot::Receiver<T>) {
        let (sender, receiver) = oneshot::channel();
        (Self(Arc::new(Mutex::new(Some(sender)))), receiver)
    }

    /// Makes the reply. It belongs into the [`Decision`](super::Decision): the engine sends it once that is durable,
    /// and drops it if the batch is rolled back, to be decided again.
    #[must_use]
    pub fn with(&self, reply: T) -> Reply {
        let sender = Arc::clone(&self.0);
        Reply(Box::new(move || {
            let sender = sender.lock().unwrap_or_else(PoisonError::into_inner).take();
            // The client may have disconnected; what it asked for is committed either way.
            drop(sender.map(|sender| sender.send(reply)));
        }))
    }
}

impl<T> fmt::Debug for ReplyTo<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReplyTo")
    }
}

/// A reply that is sent once the decision is durable, made by [`ReplyTo::with`].
pub struct Reply(Box<dyn FnOnce() + Send>);

impl Reply {
    /// Sends it, as the engine does once the decision is durable.
    pub fn send(self) {
        (self.0)();
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reply")
    }
}
