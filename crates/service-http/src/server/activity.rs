use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::time::Instant;

use super::{limits::ConnectionLimits, metrics::Reason};

/// What a connection does at the moment. Its own task reports it, and the server's table reads it.
///
/// Each change is one atomic operation that fails once the server has closed the connection, so that a request is
/// either handled or never seen.
#[derive(Debug)]
pub(super) struct Activity {
    epoch: Instant,
    /// See [`State::pack`].
    state: AtomicU64,
    /// Since when a write has been waiting for the client, in microseconds since the epoch plus one; 0 if none is.
    write_since: AtomicU64,
}

/// A phase of a connection, and its past.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct State {
    pub(super) phase: Phase,
    /// How many requests it has sent, up to [`MANY`].
    pub(super) requests: u64,
    /// Since when it has been in this phase, in microseconds since the server's start.
    pub(super) since: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Waits for the end of a request's head.
    Head,
    /// Waits for a further request.
    Idle,
    /// Handles a request, or sends its response.
    Busy,
    /// Closed by the server.
    Closed,
}

/// The number of requests above which connections are treated alike.
const MANY: u64 = 15;

impl State {
    /// Packs the time into the highest 58 bits, the number of requests into the next 4, and the phase into the rest.
    fn pack(self) -> u64 {
        self.since << 6 | self.requests << 2 | self.phase as u64
    }

    fn unpack(packed: u64) -> Self {
        let phase = match packed & 3 {
            0 => Phase::Head,
            1 => Phase::Idle,
            2 => Phase::Busy,
            _ => Phase::Closed,
        };
        Self { phase, requests: packed >> 2 & MANY, since: packed >> 6 }
    }
}

impl Activity {
    /// A new connection has to send a head, although none of it is there yet.
    pub(super) fn new(epoch: Instant) -> Self {
        let since = micros(epoch.elapsed());
        let state = AtomicU64::new(State { phase: Phase::Head, requests: 0, since }.pack());
        Self { epoch, state, write_since: AtomicU64::new(0) }
    }

    /// Bytes have arrived.
    pub(super) fn received(&self) -> io::Result<()> {
        match State::unpack(self.state.load(Relaxed)).phase {
            Phase::Head | Phase::Busy => Ok(()),
            Phase::Idle | Phase::Closed => self.enter(Phase::Head),
        }
    }

    /// A request's head is complete. It counts as being handled until the guard is dropped.
    pub(super) fn begin_request(self: &Arc<Self>) -> io::Result<RequestGuard> {
        self.enter(Phase::Busy)?;
        Ok(RequestGuard(Arc::clone(self)))
    }

    /// A write has been tried: `waits` if the client has no room for it.
    pub(super) fn wrote(&self, waits: bool) {
        let since = self.write_since.load(Relaxed);
        if waits && since == 0 {
            self.write_since.store(self.now() + 1, Relaxed);
        } else if !waits && since != 0 {
            self.write_since.store(0, Relaxed);
        }
    }

    pub(super) fn state(&self) -> State {
        State::unpack(self.state.load(Relaxed))
    }

    /// Returns why the connection is to be closed now, with the state that this depends on.
    pub(super) fn expired(&self, limits: &ConnectionLimits) -> Option<(Reason, State)> {
        let (state, now) = (self.state(), self.now());
        let longer = |since: u64, timeout: Duration| now.saturating_sub(since) >= micros(timeout);
        let write_since = self.write_since.load(Relaxed);
        if write_since > 0 && longer(write_since - 1, limits.write_timeout) {
            return Some((Reason::Write, state));
        }
        match state.phase {
            Phase::Head if longer(state.since, limits.head_timeout) => Some((Reason::Head, state)),
            Phase::Idle if longer(state.since, limits.idle_timeout) => Some((Reason::Idle, state)),
            _ => None,
        }
    }

    /// Returns whether a connection in this state waits for a request, and has for `settled` or longer.
    pub(super) fn has_settled(&self, state: State, settled: Duration) -> bool {
        let waits = matches!(state.phase, Phase::Head | Phase::Idle);
        waits && self.now().saturating_sub(state.since) >= micros(settled)
    }

    /// Closes the connection if it is still in this state. From then on, none of its requests is handled.
    pub(super) fn close(&self, state: State) -> bool {
        let closed = State { phase: Phase::Closed, ..state }.pack();
        self.state.compare_exchange(state.pack(), closed, Relaxed, Relaxed).is_ok()
    }

    fn enter(&self, phase: Phase) -> io::Result<()> {
        let since = self.now();
        let changed = self.state.fetch_update(Relaxed, Relaxed, |packed| {
            let State { phase: before, requests, .. } = State::unpack(packed);
            let requests = (requests + u64::from(phase == Phase::Busy)).min(MANY);
            (before != Phase::Closed).then(|| State { phase, requests, since }.pack())
        });
        changed.map(drop).map_err(|_| io::Error::new(io::ErrorKind::ConnectionAborted, "closed by the server"))
    }

    fn now(&self) -> u64 {
        micros(self.epoch.elapsed())
    }
}

/// A request that is being handled. When it is dropped, the connection waits for the next one.
#[derive(Debug)]
pub(super) struct RequestGuard(Arc<Activity>);

impl Drop for RequestGuard {
    fn drop(&mut self) {
        // If the connection is closed, nothing waits.
        let _ = self.0.enter(Phase::Idle);
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_connection_takes_no_further_request() {
        let activity = Arc::new(Activity::new(Instant::now()));
        let head = activity.state();
        assert_eq!(head.phase, Phase::Head);
        let request = activity.begin_request().unwrap();
        assert!(!activity.close(head), "it has gone on");
        drop(request);
        let idle = activity.state();
        assert_eq!(idle.phase, Phase::Idle);
        assert!(activity.close(idle));
        assert!(activity.received().is_err() && activity.begin_request().is_err());
        assert_eq!(activity.state().phase, Phase::Closed);
    }

    #[test]
    fn each_phase_has_its_own_time_limit() {
        let long = Duration::from_secs(1000);
        let none =
            ConnectionLimits { head_timeout: long, idle_timeout: long, write_timeout: long, ..Default::default() };
        let reason = |activity: &Activity, limits| activity.expired(&limits).map(|(reason, _)| reason);
        let activity = Arc::new(Activity::new(Instant::now()));
        let head = ConnectionLimits { head_timeout: Duration::ZERO, ..none };
        let idle = ConnectionLimits { idle_timeout: Duration::ZERO, ..none };
        let write = ConnectionLimits { write_timeout: Duration::ZERO, ..none };
        assert_eq!((reason(&activity, head), reason(&activity, idle)), (Some(Reason::Head), None));
        let request = activity.begin_request().unwrap();
        assert_eq!((reason(&activity, head), reason(&activity, idle), reason(&activity, write)), (None, None, None));
        activity.wrote(true);
        assert_eq!(reason(&activity, write), Some(Reason::Write));
        activity.wrote(false);
        assert_eq!(reason(&activity, write), None);
        drop(request);
        assert_eq!((reason(&activity, head), reason(&activity, idle)), (None, Some(Reason::Idle)));
        activity.received().unwrap();
        assert_eq!((reason(&activity, head), reason(&activity, idle)), (Some(Reason::Head), None));
    }
}
