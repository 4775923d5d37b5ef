use service_host::admin::{RedriveOutcome, RedriveView};
use shared_events::Timestamp;

use crate::{client::ClientError, runs::Tally, times::now};

/// What became of the dead letters that a run redrives.
#[derive(Debug, Clone)]
pub(crate) struct Redriving {
    /// What is redriven, for a person to read.
    pub(super) what: String,
    /// When it began.
    pub(super) began: Timestamp,
    /// How many there are to redrive.
    pub(super) total: u64,
    /// How many are handled now.
    pub(super) handled: u64,
    /// How many failed again.
    pub(super) failed_again: u64,
    /// How many were no dead letters any more.
    pub(super) gone: u64,
    /// How many could not be tried.
    pub(super) not_tried: u64,
    /// Why the last one failed again.
    pub(super) reason: Option<String>,
    /// Why the last one could not be tried.
    pub(super) error: Option<String>,
}

impl Redriving {
    pub(super) fn new(what: String, total: u64) -> Self {
        Self {
            what,
            began: now(),
            total,
            handled: 0,
            failed_again: 0,
            gone: 0,
            not_tried: 0,
            reason: None,
            error: None,
        }
    }

    /// Returns how many are done.
    pub(super) fn done(&self) -> u64 {
        self.handled + self.failed_again + self.gone + self.not_tried
    }
}

impl Tally for Redriving {
    type Outcome = Result<Option<RedriveView>, ClientError>;

    fn count(&mut self, outcome: Self::Outcome) -> bool {
        let tried = outcome.is_ok();
        match outcome {
            Ok(Some(RedriveView { outcome: RedriveOutcome::Handled, .. })) => self.handled += 1,
            Ok(Some(RedriveView { outcome: RedriveOutcome::FailedAgain, reason, .. })) => {
                self.failed_again += 1;
                self.reason = reason;
            }
            Ok(None) => self.gone += 1,
            Err(error) => {
                self.not_tried += 1;
                self.error = Some(format!("{error}. {}", error.remedy()));
            }
        }
        tried
    }
}
