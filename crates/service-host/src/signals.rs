//! Handles the signals that stop a process.

use tokio::signal::unix::{SignalKind, signal};

/// Resolves at the first SIGTERM or SIGINT (Ctrl-C). Signals count from this call on, not from the first poll. After it
/// resolves, a second signal ends the process immediately.
///
/// # Errors
/// If the signal handlers cannot be installed.
pub fn signalled() -> std::io::Result<impl Future<Output = &'static str>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        let name = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "Ctrl-C",
        };
        tokio::spawn(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            tracing::warn!(
                "second signal: ending at once; what was answered is durable, the rest is caught up at the next start"
            );
            std::process::exit(130);
        });
        name
    })
}
