use futures::{StreamExt as _, stream};
use sea_orm::DbErr;
use uuid::Uuid;

use super::{AdminState, RedriveAllView};
use saga_database::{dead_letter, dead_letter_ids};
use saga_runtime::{Redriven, Refusal};
use service_http::Problem;

/// How many ids are read per page.
const PAGE: u64 = 256;
/// How many messages are redriven, and so held in memory, at the same time: one can have many megabytes.
const AT_ONCE: usize = 16;

impl AdminState {
    /// Redrives one dead letter through the engine.
    pub(super) async fn redrive(&self, message_id: Uuid) -> Result<Redriven, Failed> {
        match dead_letter(&self.database, message_id).await? {
            Some(letter) => Ok(self.messages.redrive(&letter).await?),
            None => Ok(Redriven::Gone),
        }
    }

    /// Redrives all current dead letters through the engine, page by page.
    ///
    /// It ends early if the service stops, or if none of the messages of a page could be tried: what is unavailable
    /// then is needed for the next page too.
    pub(super) async fn redrive_all(&self) -> Result<RedriveAllView, DbErr> {
        let begun = self.database.clock().now();
        let mut sum = RedriveAllView::default();
        let mut after = None;
        loop {
            let page = dead_letter_ids(&self.database, after, begun, PAGE).await?;
            let Some(last) = page.last().copied() else { return Ok(RedriveAllView { complete: true, ..sum }) };
            after = Some(last);
            let (size, postponed_before) = (page.len() as u64, sum.postponed);
            let mut outcomes = stream::iter(page).map(|id| self.redrive(id)).buffer_unordered(AT_ONCE);
            while let Some(outcome) = outcomes.next().await {
                match outcome {
                    Ok(Redriven::Handled) => sum.handled += 1,
                    Ok(Redriven::FailedAgain { .. }) => sum.failed_again += 1,
                    Ok(Redriven::Gone) => {}
                    Err(_) => sum.postponed += 1,
                }
            }
            if self.stopping.is_cancelled() || sum.postponed - postponed_before == size {
                return Ok(sum);
            }
        }
    }
}

/// Why a message was not tried. It remains a dead letter, unchanged.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failed {
    #[error(transparent)]
    Unread(#[from] DbErr),
    #[error(transparent)]
    Refused(#[from] Refusal),
}

impl From<Failed> for Problem {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Unread(error) => error.into(),
            Failed::Refused(refusal) => refusal.into(),
        }
    }
}
