//! Whether a service can do its work, as reported by the code that uses its dependencies.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
};
use tokio::sync::watch;

/// Whether the service can do its work: the last reported state of each dependency. Clones share it.
///
/// It does not probe anything. The code that uses a dependency reports its state, and a dependency counts as down until
/// it was first reported up.
#[derive(Debug, Clone)]
pub struct Readiness {
    reported: Arc<Mutex<Vec<Reported>>>,
    reconnects: Family<DependencyLabel, Counter>,
    /// How many dependencies were reported, and logged, at least once.
    first_reports: watch::Sender<usize>,
}

/// The label of a dependency.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct DependencyLabel {
    dependency: &'static str,
}

/// A dependency, and its last reported state, if any.
#[derive(Debug)]
struct Reported {
    name: &'static str,
    state: Option<Result<(), String>>,
}

impl Readiness {
    /// Starts with all of `dependencies` (such as `database` and `broker`) down. The service is ready once each was
    /// reported up.
    pub fn new(dependencies: impl IntoIterator<Item = &'static str>) -> Self {
        let unknown = dependencies.into_iter().map(|name| Reported { name, state: None }).collect();
        Self {
            reported: Arc::new(Mutex::new(unknown)),
            reconnects: Family::default(),
            first_reports: watch::Sender::new(0),
        }
    }

    /// Reports that a dependency is up (`Ok`), or down and why (`Err`). The reason is shown in public health checks, so
    /// it must be one of a few fixed texts: no address, user, database, vhost or file. The details belong in the log of
    /// the reporting code. A dependency that [`Readiness::new`] did not list is added.
    pub fn set(&self, dependency: &'static str, state: Result<(), String>) {
        let mut all = self.lock();
        let known = all.iter().position(|reported| reported.name == dependency);
        let index = known.unwrap_or_else(|| {
            all.push(Reported { name: dependency, state: None });
            all.len() - 1
        });
        let up = |state: &Result<(), String>| state.is_ok();
        let changed = all[index].state.as_ref().map(up) != Some(up(&state));
        if matches!((&all[index].state, &state), (Some(Err(_)), Ok(()))) {
            self.reconnects.get_or_create(&DependencyLabel { dependency }).inc();
        }
        let is_first = all[index].state.is_none();
        let log = changed.then(|| state.clone());
        all[index].state = Some(state);
        drop(all);
        match log {
            Some(Ok(())) => tracing::info!(dependency, "a dependency is up"),
            Some(Err(reason)) => tracing::warn!(dependency, reason, "a dependency is down"),
            None => {}
        }
        if is_first {
            self.first_reports.send_modify(|count| *count += 1);
        }
    }

    /// Resolves when each dependency was reported at least once, as up or down, and that was logged.
    pub async fn each_reported(&self) {
        let mut first_reports = self.first_reports.subscribe();
        // The sender is here, so it is not closed.
        let _ = first_reports.wait_for(|count| *count >= self.lock().len()).await;
    }

    /// Returns the current state of all dependencies.
    #[must_use]
    pub fn snapshot(&self) -> Vec<Dependency> {
        self.lock().iter().map(Dependency::from).collect()
    }

    /// Returns the counter of how often each dependency was up again after it had been down. It is shared, and
    /// continues to count.
    #[must_use]
    pub fn reconnects(&self) -> Family<DependencyLabel, Counter> {
        self.reconnects.clone()
    }

    /// Ignores poisoning: a panic while the lock is held leaves nothing half changed.
    fn lock(&self) -> MutexGuard<'_, Vec<Reported>> {
        self.reported.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl From<&Reported> for Dependency {
    fn from(Reported { name, state }: &Reported) -> Self {
        let down = match state {
            None => Some("not reached yet".to_owned()),
            Some(Ok(())) => None,
            Some(Err(reason)) => Some(reason.clone()),
        };
        Self { name, down }
    }
}

/// The state of a dependency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependency {
    /// The name, such as `database`.
    pub name: &'static str,
    /// Why it is down; `None` if it is up.
    pub down: Option<String>,
}

#[cfg(test)]
mod tests {
    use saga_support::testing;

    use super::*;

    #[test]
    fn only_a_change_is_logged() {
        let (log, _guard) = testing::log();
        let readiness = Readiness::new(["broker"]);
        for state in [Err("a"), Err("b"), Ok(()), Ok(()), Err("c")] {
            readiness.set("broker", state.map_err(str::to_owned));
        }
        let lines = log.lines();
        assert_eq!(lines.len(), 3, "{lines:?}");
        assert!(lines[0].contains("is down") && lines[0].contains("reason=\"a\""), "{lines:?}");
        assert!(lines[1].contains("is up"), "{lines:?}");
        assert!(lines[2].contains("reason=\"c\""), "{lines:?}");
    }

    #[tokio::test]
    async fn one_can_wait_until_each_was_reported() {
        let readiness = Readiness::new(["broker", "database"]);
        let mut each_reported = Box::pin(readiness.each_reported());
        for state in [Err("a".to_owned()), Ok(())] {
            assert!(futures::poll!(&mut each_reported).is_pending());
            readiness.set("broker", state);
        }
        assert!(futures::poll!(&mut each_reported).is_pending());
        readiness.set("database", Err("b".to_owned()));
        each_reported.await;
    }
}
