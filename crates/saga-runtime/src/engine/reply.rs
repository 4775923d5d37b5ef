use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::oneshot;

/// The address for the reply to a command: the caller that waits in [`Mailbox::ask`](super::Mailbox::ask).
///
/// A command that has a reply carries one of these; `T` is the type that its caller gets back. So a caller gets the
/// reply to its own command, and never that to another.
pub struct ReplyTo<T>(Arc<Mutex<Option<oneshot::Sender<T>>>>);

impl<T: Send + 'static> ReplyTo<T> {
    /// Returns an address, and the receiver of the reply that is sent to it. `Mailbox::ask` calls this; tests of a
    /// participant may, too.
    #[must_use]
    pub fn new() -> (Self, oneshot::Receiver<T>) {
        let (sender, receiver) = oneshot::channel();
        (Self(Arc::new(Mutex::new(Some(sender)))), receiver)
    }

    /// Returns the reply, for the [`Decision`](super::Decision). The engine sends it once the decision is durable. If
    /// the batch is rolled back, the engine drops it, and the command is decided again.
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
    /// Sends it. The engine does this once the decision is durable; tests of a participant may, too.
    pub fn send(self) {
        (self.0)();
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reply")
    }
}
