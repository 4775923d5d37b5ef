use std::{
    num::NonZeroU32,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use tokio::time::Instant;

/// The time within which a key may send as many requests as its limit, at once or spread.
const WINDOW: Duration = Duration::from_secs(1);

/// How many requests per second the holder of a key may send to this process. It counts by the generic cell rate
/// algorithm (GCRA): one time instead of a history of requests.
#[derive(Debug)]
pub(super) struct RateLimit {
    rate: NonZeroU32,
    /// From when on nothing of the limit is used any more.
    unused_from: Mutex<Option<Instant>>,
}

/// What is left of a limit after a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Quota {
    rate: NonZeroU32,
    remaining: u32,
    /// How long until all of it is there again.
    resets_in: Duration,
}

/// There is no request left; within a second there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Exceeded(pub(super) Quota);

impl RateLimit {
    pub(super) fn new(rate: NonZeroU32) -> Self {
        Self { rate, unused_from: Mutex::default() }
    }

    pub(super) fn rate(&self) -> NonZeroU32 {
        self.rate
    }

    /// Takes one request from what is left.
    pub(super) fn take(&self, now: Instant) -> Result<Quota, Exceeded> {
        let each = WINDOW / self.rate.get();
        let mut unused_from = self.unused_from.lock().unwrap_or_else(PoisonError::into_inner);
        let used = unused_from.map_or(Duration::ZERO, |from| from.saturating_duration_since(now));
        let after = used + each;
        if after > WINDOW {
            return Err(Exceeded(self.quota(used)));
        }
        *unused_from = Some(now + after);
        Ok(self.quota(after))
    }

    fn quota(&self, used: Duration) -> Quota {
        let each = (WINDOW / self.rate.get()).as_nanos().max(1);
        let remaining = WINDOW.saturating_sub(used).as_nanos() / each;
        let remaining = u32::try_from(remaining).unwrap_or(u32::MAX).min(self.rate.get());
        Quota { rate: self.rate, remaining, resets_in: used }
    }
}

impl Quota {
    /// Says it in the headers `RateLimit-Policy` and `RateLimit`
    /// (<https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/>, version 10).
    pub(super) fn write_into(self, headers: &mut HeaderMap) {
        let Self { rate, remaining, resets_in } = self;
        let policy = format!("\"key\";q={rate};w={}", WINDOW.as_secs());
        let state =
            format!("\"key\";r={remaining};t={}", resets_in.as_secs() + u64::from(resets_in.subsec_nanos() > 0));
        for (name, value) in [("ratelimit-policy", policy), ("ratelimit", state)] {
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(rate: u32) -> RateLimit {
        RateLimit::new(NonZeroU32::new(rate).unwrap())
    }

    #[test]
    fn so_many_pass_at_once_and_then_one_at_a_time() {
        let (limit, start) = (limit(4), Instant::now());
        for left in [3, 2, 1, 0] {
            assert_eq!(limit.take(start).unwrap().remaining, left);
        }
        let Exceeded(quota) = limit.take(start).unwrap_err();
        assert_eq!((quota.remaining, quota.resets_in), (0, WINDOW));
        let later = start + Duration::from_millis(250);
        assert!(limit.take(later - Duration::from_millis(1)).is_err());
        assert!(limit.take(later).is_ok() && limit.take(later).is_err());
        // After a second without requests, all of it is there again, and no more.
        let much_later = later + Duration::from_secs(3_600);
        assert_eq!(limit.take(much_later).unwrap().remaining, 3);
    }

    #[test]
    fn any_rate_passes_as_many_requests_in_a_second() {
        for rate in [1, 3, 7, 1_000, 1_000_000] {
            let (limit, start) = (limit(rate), Instant::now());
            let passed = (0..=rate).filter(|_| limit.take(start).is_ok()).count();
            assert_eq!(u32::try_from(passed).unwrap(), rate);
        }
    }

    #[test]
    fn the_headers_say_what_is_left() {
        let mut headers = HeaderMap::new();
        limit(10).take(Instant::now()).unwrap().write_into(&mut headers);
        assert_eq!(headers["ratelimit-policy"], "\"key\";q=10;w=1");
        assert_eq!(headers["ratelimit"], "\"key\";r=9;t=1");
    }
}
