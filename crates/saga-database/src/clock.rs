//! The time for everything that replicas must agree on: deadlines, the inbox, when an event happened.
//!
//! On PostgreSQL the service uses the database server's time, whatever the machine's clock shows (see
//! `docs/adr/0016-the-databases-clock.md`). On SQLite there is only one process, and the system clock is good enough.

use std::{
    str::FromStr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use saga_message::Timestamp;

/// The machine's clock is reported as wrong if it differs from the database's by more than this.
const TOLERATED: Duration = Duration::from_secs(5);

/// The value of `reference` before the first comparison with a database.
const NEVER: i64 = i64::MIN;

/// The service's clock. Clones share it.
///
/// After the first comparison with a database, it shows the database's time at that comparison plus the time that has
/// passed on the machine's monotonic clock, which cannot be set. Before that, it shows the system clock.
#[derive(Debug, Clone)]
pub struct Clock(Arc<State>);

#[derive(Debug)]
struct State {
    /// Zero point of all readings of the monotonic clock.
    started: Instant,
    /// The database's time at `started`, in microseconds since 1970.
    reference: AtomicI64,
    /// Offset that tests add to the system clock, in microseconds.
    skew: AtomicI64,
    /// By how many microseconds the system clock was ahead of the database's when that was last reported.
    reported: Mutex<Option<i64>>,
}

impl Default for Clock {
    fn default() -> Self {
        Self(Arc::new(State {
            started: Instant::now(),
            reference: AtomicI64::new(NEVER),
            skew: AtomicI64::new(0),
            reported: Mutex::default(),
        }))
    }
}

impl Clock {
    /// Returns the current time, to the microsecond.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        match self.0.reference.load(Ordering::Relaxed) {
            NEVER => self.system(),
            reference => Timestamp::from_unix_micros(reference.saturating_add(self.monotonic())),
        }
    }

    /// Returns by how many seconds the machine's clock is ahead of the database's (negative if it is behind), or `None`
    /// if there is no database to compare it with.
    #[must_use]
    pub fn offset_seconds(&self) -> Option<f64> {
        let micros = self.offset()?;
        #[allow(clippy::cast_precision_loss, reason = "precise to a microsecond for three centuries")]
        Some(micros as f64 / 1e6)
    }

    /// Shifts the system clock by `offset`, as seen through this clock. For tests only: it simulates a replica whose
    /// clock is wrong.
    pub fn skew_system_clock(&self, offset: ClockOffset) {
        self.0.skew.store(offset.0, Ordering::Relaxed);
    }

    /// Compares the clock with a database's. `read` queries the database's time, in microseconds since 1970.
    ///
    /// The database read its clock at some moment between query and answer. If this clock is within those bounds, it
    /// stays as it is; otherwise it moves to the nearer bound. So a slow answer changes nothing, and a database whose
    /// clock was really set is followed at once.
    pub async fn compare<E>(&self, read: impl Future<Output = Result<i64, E>>) -> Result<(), E> {
        let asked = self.monotonic();
        let time = read.await?;
        self.learn(time, asked, self.monotonic());
        Ok(())
    }

    fn learn(&self, time: i64, asked: i64, answered: i64) {
        let (earliest, latest) = (time.saturating_sub(answered), time.saturating_sub(asked));
        let reference = match self.0.reference.load(Ordering::Relaxed) {
            NEVER => earliest.midpoint(latest),
            known => known.clamp(earliest, latest),
        };
        self.0.reference.store(reference, Ordering::Relaxed);
        self.report();
    }

    /// Logs once that the machine's clock is wrong, again if it gets much worse, and when it is right again.
    fn report(&self) {
        let Some(offset) = self.offset() else { return };
        let mut reported = self.0.reported.lock().unwrap_or_else(PoisonError::into_inner);
        let tolerated = |micros: i64| u128::from(micros.unsigned_abs()) <= TOLERATED.as_micros();
        let (machine, database) = (self.system(), self.now());
        match *reported {
            Some(_) if tolerated(offset) => {
                *reported = None;
                tracing::info!("the clock of this machine agrees with the database's again");
            }
            Some(before) if tolerated(offset.saturating_sub(before)) => {}
            None if tolerated(offset) => {}
            _ => {
                *reported = Some(offset);
                tracing::warn!(
                    machine_time = %machine, database_time = %database, ahead_ms = offset / 1_000,
                    "the clock of this machine differs from the database's, which counts; repair its synchronisation"
                );
            }
        }
    }

    fn offset(&self) -> Option<i64> {
        let compared = self.0.reference.load(Ordering::Relaxed) != NEVER;
        compared.then(|| self.system().unix_micros().saturating_sub(self.now().unix_micros()))
    }

    fn system(&self) -> Timestamp {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let micros = i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX);
        Timestamp::from_unix_micros(micros.saturating_add(self.0.skew.load(Ordering::Relaxed)))
    }

    fn monotonic(&self) -> i64 {
        i64::try_from(self.0.started.elapsed().as_micros()).unwrap_or(i64::MAX)
    }
}

/// How wrong a clock is: `+10min` is ahead, `-90s` is behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ClockOffset(i64);

impl FromStr for ClockOffset {
    type Err = humantime::DurationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (sign, duration) = match text.strip_prefix('-') {
            Some(behind) => (-1, behind),
            None => (1, text.strip_prefix('+').unwrap_or(text)),
        };
        let micros = humantime::parse_duration(duration)?.as_micros();
        Ok(Self(i64::try_from(micros).unwrap_or(i64::MAX) * sign))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use saga_support::testing;

    const SECOND: i64 = 1_000_000;

    /// Returns the time of `clock` at its start after a comparison: the database answered `time` to a query that was
    /// sent at `asked` and answered at `answered`.
    fn reference_after(clock: &Clock, time: i64, asked: i64, answered: i64) -> i64 {
        clock.learn(time, asked, answered);
        clock.0.reference.load(Ordering::Relaxed)
    }

    #[test]
    fn without_a_database_it_is_the_system_clock() {
        let clock = Clock::default();
        let before = clock.system();
        assert!(clock.now() >= before && clock.offset_seconds().is_none());
        clock.skew_system_clock("+10min".parse().unwrap());
        assert!(clock.now() >= before.after(Duration::from_secs(600)));
    }

    #[test]
    fn it_is_the_databases_time_and_a_slow_answer_moves_nothing() {
        let clock = Clock::default();
        clock.skew_system_clock("+1h".parse().unwrap());
        assert_eq!(reference_after(&clock, 100 * SECOND, 0, 2 * SECOND), 99 * SECOND);
        // The same time again, after a pause of a minute: nothing changes.
        assert_eq!(reference_after(&clock, 110 * SECOND, 8 * SECOND, 68 * SECOND), 99 * SECOND);
        // A faster answer narrows the bounds, and the clock moves by as little as possible.
        assert_eq!(reference_after(&clock, 200 * SECOND, 100 * SECOND, 100 * SECOND + 100), 100 * SECOND - 100);
        // The database's clock was set.
        assert_eq!(reference_after(&clock, 900 * SECOND, 101 * SECOND, 102 * SECOND), 798 * SECOND);
        assert!(clock.now() < Timestamp::from_unix_micros(900 * SECOND));
    }

    #[tokio::test]
    async fn it_goes_on_if_the_database_does_not_answer() {
        let clock = Clock::default();
        clock.compare(async { Ok::<_, ()>(100 * SECOND) }).await.unwrap();
        assert_eq!(clock.compare(async { Err("unavailable") }).await, Err("unavailable"));
        let now = clock.now().unix_micros();
        assert!((100 * SECOND..130 * SECOND).contains(&now), "{now}");
    }

    #[test]
    fn a_wrong_clock_is_reported_once_and_when_it_changes_much() {
        let (log, _guard) = testing::log();
        let clock = Clock::default();
        let machine = || clock.system().unix_micros() - clock.0.skew.load(Ordering::Relaxed);
        for (offset, lines) in
            [("+0s", 0), ("+4s", 0), ("+10min", 1), ("+10min", 1), ("+602s", 1), ("-10min", 2), ("-1s", 3), ("+3s", 3)]
        {
            clock.skew_system_clock(offset.parse().unwrap());
            let now = clock.monotonic();
            clock.learn(machine(), now, now);
            assert_eq!(log.lines().len(), lines, "{offset}: {:?}", log.lines());
        }
        let lines = log.lines();
        assert!(lines[0].contains("ahead_ms=") && lines[0].contains("machine_time=20"), "{lines:?}");
        assert!(lines[2].contains("agrees"), "{lines:?}");
    }

    #[test]
    fn an_offset_has_a_sign() {
        for (text, micros) in [("+10min", 600 * SECOND), ("90s", 90 * SECOND), ("-1s 5ms", -SECOND - 5_000)] {
            assert_eq!(text.parse(), Ok(ClockOffset(micros)));
        }
        assert!("ten".parse::<ClockOffset>().is_err());
    }
}
