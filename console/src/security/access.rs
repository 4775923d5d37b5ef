use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use service_host::admin::AdminToken;
use sha2::{Digest as _, Sha256};

/// How long a login lasts.
pub(super) const LIFETIME: Duration = Duration::from_secs(12 * 60 * 60);
/// How many logins are remembered; the oldest makes room for a new one.
const MAX_SESSIONS: usize = 1_000;
/// How many wrong tokens are accepted at once, and how long it takes until one more is.
const BURST: u32 = 5;
const REFILL: Duration = Duration::from_secs(2);

/// Who may use the console: everybody who reaches it, or who has logged in with the admin token.
#[derive(Debug)]
pub(crate) struct Access {
    token: Option<AdminToken>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// The hashes of the sessions' secrets, so that the time of a look-up tells nothing about a secret.
    sessions: HashMap<[u8; 32], Instant>,
    attempts: u32,
    refilled: Instant,
}

/// The result of an attempt to log in.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Attempt {
    /// The token is right; this is the secret of the new session.
    Admitted(String),
    /// The token is wrong.
    Wrong,
    /// There were too many attempts; the token was not looked at.
    TooMany,
}

impl Access {
    /// Creates the access; with a token, one must log in.
    pub(crate) fn new(token: Option<AdminToken>) -> Self {
        let state = State { sessions: HashMap::new(), attempts: 0, refilled: Instant::now() };
        Self { token, state: Mutex::new(state) }
    }

    /// Whether one must log in.
    pub(crate) fn needs_login(&self) -> bool {
        self.token.is_some()
    }

    /// Whether a request with this session's secret may pass.
    pub(super) fn admits(&self, secret: Option<&str>, now: Instant) -> bool {
        if self.token.is_none() {
            return true;
        }
        let Some(secret) = secret else { return false };
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.sessions.get(&hash(secret)).is_some_and(|begun| now.duration_since(*begun) < LIFETIME)
    }

    /// Logs in with `offered`. The number of attempts is limited for all clients together: behind a proxy or a
    /// container's port, they all have the same address.
    pub(super) fn log_in(&self, offered: &str, now: Instant) -> Result<Attempt, getrandom::Error> {
        let Some(token) = &self.token else { return Ok(Attempt::Wrong) };
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !state.may_try(now) {
            return Ok(Attempt::TooMany);
        }
        if !token.is(offered.trim().as_bytes()) {
            return Ok(Attempt::Wrong);
        }
        let mut secret = [0_u8; 32];
        getrandom::fill(&mut secret)?;
        let secret: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
        state.attempts = 0;
        state.remember(hash(&secret), now);
        Ok(Attempt::Admitted(secret))
    }

    /// Ends a session.
    pub(super) fn log_out(&self, secret: &str) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).sessions.remove(&hash(secret));
    }
}

impl State {
    /// Counts an attempt, if one is left.
    fn may_try(&mut self, now: Instant) -> bool {
        let periods = now.saturating_duration_since(self.refilled).as_secs() / REFILL.as_secs();
        if periods > 0 {
            self.attempts = self.attempts.saturating_sub(u32::try_from(periods).unwrap_or(u32::MAX));
            self.refilled = now;
        }
        let may = self.attempts < BURST;
        if may {
            self.attempts += 1;
        }
        may
    }

    fn remember(&mut self, session: [u8; 32], now: Instant) {
        self.sessions.retain(|_, begun| now.duration_since(*begun) < LIFETIME);
        if self.sessions.len() >= MAX_SESSIONS {
            let oldest = self.sessions.iter().min_by_key(|(_, begun)| **begun).map(|(session, _)| *session);
            oldest.map(|oldest| self.sessions.remove(&oldest));
        }
        self.sessions.insert(session, now);
    }
}

fn hash(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    const TOKEN: &str = "a-token-of-the-tests";

    fn access() -> Access {
        Access::new(Some(TOKEN.parse().unwrap()))
    }

    fn admitted(access: &Access, now: Instant) -> String {
        match access.log_in(TOKEN, now).unwrap() {
            Attempt::Admitted(secret) => secret,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_session_lasts_until_its_end_or_a_logout() {
        let (access, now) = (access(), Instant::now());
        assert!(!access.admits(None, now));
        let (one, two) = (admitted(&access, now), admitted(&access, now));
        assert_ne!(one, two);
        assert!(access.admits(Some(&one), now) && access.admits(Some(&two), now));
        assert!(!access.admits(Some("something else"), now));
        access.log_out(&one);
        assert!(!access.admits(Some(&one), now) && access.admits(Some(&two), now));
        assert!(!access.admits(Some(&two), now + LIFETIME));
    }

    #[test]
    fn attempts_are_limited_also_with_the_right_token() {
        let (access, now) = (access(), Instant::now());
        for _ in 0..BURST {
            assert_eq!(access.log_in("wrong", now).unwrap(), Attempt::Wrong);
        }
        assert_eq!(access.log_in(TOKEN, now).unwrap(), Attempt::TooMany);
        admitted(&access, now + REFILL);
    }

    #[test]
    fn the_number_of_sessions_is_limited() {
        let (access, now) = (access(), Instant::now());
        let first = admitted(&access, now);
        for _ in 0..MAX_SESSIONS {
            admitted(&access, now + Duration::from_secs(1));
        }
        assert!(!access.admits(Some(&first), now));
        assert_eq!(access.state.lock().unwrap().sessions.len(), MAX_SESSIONS);
    }

    #[test]
    fn without_a_token_all_are_admitted() {
        let access = Access::new(None);
        assert!(access.admits(None, Instant::now()) && !access.needs_login());
        assert_eq!(access.log_in("", Instant::now()).unwrap(), Attempt::Wrong);
    }
}
