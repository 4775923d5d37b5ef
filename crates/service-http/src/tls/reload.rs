use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use anyhow::{Context as _, Result};
use saga_support::{DAY, LogLimit};
use tokio::time::{MissedTickBehavior, interval};

use super::{
    certificate::{Content, Loaded},
    server::Shared,
};

/// How often the files are read.
const CHECK_INTERVAL: Duration = Duration::from_secs(2);

/// Takes a changed certificate into use, for as long as there is a listener, and warns once a day of one that is to be
/// replaced. The content is compared, and not the time
/// of change: Kubernetes and certbot replace links, and a copy may keep its time.
pub(super) async fn watch(shared: Weak<Shared>, mut served: Content) {
    let mut failure = Failure::default();
    let mut reminders = LogLimit::new(DAY);
    let mut ticks = interval(CHECK_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(shared) = shared.upgrade() else { return };
        match changed(&shared, &served).await {
            Ok(None) => failure = Failure::default(),
            Ok(Some((content, loaded))) => {
                served = content;
                failure = Failure::default();
                reminders = LogLimit::new(DAY);
                shared.replace(loaded);
            }
            Err(error) => {
                if failure.is_to_be_reported(format!("{error:#}")) {
                    shared.keep(&failure.error);
                }
            }
        }
        if shared.is_to_be_replaced() && reminders.admit().is_some() {
            shared.remind();
        }
    }
}

/// Returns what the files contain now, if that is not what is served.
async fn changed(shared: &Arc<Shared>, served: &Content) -> Result<Option<(Content, Loaded)>> {
    let (shared, served) = (Arc::clone(shared), served.clone());
    let check = move || {
        let content = shared.files.read()?;
        if content == served {
            return Ok(None);
        }
        let loaded = shared.files.parse(&content)?;
        Ok(Some((content, loaded)))
    };
    tokio::task::spawn_blocking(check).await.context("the check of the certificate has ended early")?
}

/// Why the files cannot be used.
#[derive(Debug, Default)]
struct Failure {
    error: String,
    /// How often in a row.
    times: u32,
}

impl Failure {
    /// Counts a failure. It is reported when it is found for the second time, because the two files cannot be replaced
    /// at the same moment; and then not again until it changes.
    fn is_to_be_reported(&mut self, error: String) -> bool {
        self.times = if error == self.error { self.times.saturating_add(1) } else { 1 };
        self.error = error;
        self.times == 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_that_lasts_is_reported_once() {
        let mut failure = Failure::default();
        let reported = ["a", "b", "b", "b", "c", "b", "b"].map(|error| failure.is_to_be_reported(error.to_owned()));
        assert_eq!(reported, [false, false, true, false, false, false, true]);
    }
}
