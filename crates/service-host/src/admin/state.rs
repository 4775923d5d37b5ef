use std::{fmt, sync::Arc};

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use saga_database::{Database, tables::dead_letter};
use saga_runtime::{Mailbox, Participant, Redriven, Refusal};

/// The commands on dead letters. The engine's mailbox implements them, for any participant.
#[async_trait]
pub trait DeadLetterCommands: Send + Sync + fmt::Debug {
    /// See [`Mailbox::redrive`].
    async fn redrive(&self, letter: &dead_letter::Model) -> Result<Redriven, Refusal>;

    /// See [`Mailbox::discard`].
    async fn discard(&self, message_id: Uuid) -> Result<bool, Refusal>;
}

#[async_trait]
impl<P: Participant> DeadLetterCommands for Mailbox<P> {
    async fn redrive(&self, letter: &dead_letter::Model) -> Result<Redriven, Refusal> {
        self.redrive(letter).await
    }

    async fn discard(&self, message_id: Uuid) -> Result<bool, Refusal> {
        self.discard(message_id).await
    }
}

/// What the admin endpoints need.
#[derive(Debug, Clone)]
pub struct AdminState {
    /// Used for reading.
    pub(crate) database: Database,
    /// Used for everything else.
    pub(crate) messages: Arc<dyn DeadLetterCommands>,
    /// Cancelled when the service begins to stop.
    pub(crate) stopping: CancellationToken,
}
