//! Whether a service can do its work, as those who use its dependencies report.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
};

/// Whether the service can do its work: the state of each thing that it depends on, as last reported. Clones share it.
///
/// It asks nobody. Who uses a dependency reports how that went, and none counts as up before it has been reported.
#[derive(Debug, Clone)]
pub struct Readiness {
    reported: Arc<Mutex<Vec<Reported>>>,
    reconnects: Family<DependencyLabel, Counter>,
}

/// The label of a dependency.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct DependencyLabel {
    dependency: &'static str,
}

/// A dependency, and what was last reported of it, if anything was.
#[derive(Debug)]
struct Reported {
    name: &'static str,
    state: Option<Result<(), String>>,
}

impl Readiness {
    /// Ready once each of `dependencies` (such as `database` and `broker`) is reported up.
    pub fn new(dependencies: impl IntoIterator<Item = &'static str>) -> Self {
        let unknown = dependencies.into_iter().map(|name| Reported { name, state: None }).collect();
        Self { reported: Arc::new(Mutex::new(unknown)), reconnects: Family::default() }
    }

    /// Reports that a dependency is up, or down and why. The reason is shown to whoever asks, so it is of a few fixed
    /// words: no address, user, database, vhost or file. What exactly is wrong belongs into the log of whoever reports
    /// it. A dependency that [`Readiness::new`] was not told of is added.
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
        let log = changed.then(|| state.clone());
        all[index].state = Some(state);
        drop(all);
        match log {
            Some(Ok(())) => tracing::info!(dependency, "a dependency is up"),
            Some(Err(reason)) => tracing::warn!(dependency, reason, "a dependency is down"),
            None => {}
        }
    }

    /// All dependencies as they stand now.
    #[must_use]
    pub fn snapshot(&self) -> Vec<Dependency> {
        self.lock().iter().map(Dependency::from).collect()
    }

    /// How often each dependency was up again after it had been down; shared, and counting on.
    #[must_use]
    pub fn reconnects(&self) -> Family<DependencyLabel, Counter> {
        self.reconnects.clone()
    }

    /// A panic of another holder leaves nothing half done in here, so a poisoned lock is as good as any.
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

/// A dependency as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependency {
    /// Such as `database`.
    pub name: &'static str,
    /// Why it is down. `None`: it is up.
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
}
