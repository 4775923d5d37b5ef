//! Waits for a server to start.

use std::{
    path::Path,
    process::Child,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};

use crate::files;

/// Far longer than a start takes, even on a machine that is busy with other tests.
pub(crate) const LIMIT: Duration = Duration::from_secs(120);
pub(crate) const PAUSE: Duration = Duration::from_millis(20);

/// Polls until `answer` returns a value.
///
/// # Errors
/// If the server ends or is not ready in time; the error contains the tail of its log.
pub(crate) fn for_start<T>(
    name: &str,
    server: &mut Child,
    log: &Path,
    mut answer: impl FnMut() -> Option<T>,
) -> Result<T> {
    let deadline = Instant::now() + LIMIT;
    loop {
        if let Some(answer) = answer() {
            return Ok(answer);
        }
        if let Some(status) = server.try_wait()? {
            bail!("{name} did not start ({status}). The end of its log:\n{}", files::tail(log));
        }
        if Instant::now() >= deadline {
            bail!("{name} was not ready within {LIMIT:?}. The end of its log:\n{}", files::tail(log));
        }
        thread::sleep(PAUSE);
    }
}
