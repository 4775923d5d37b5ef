use std::{
    cell::Cell,
    time::{Duration, Instant},
};

/// Prints the benchmark's progress to standard error.
#[derive(Debug)]
pub(crate) struct Progress {
    done: Cell<usize>,
    all: usize,
    started: Instant,
}

impl Progress {
    /// Creates the progress display for this number of scenarios.
    pub(crate) fn of(all: usize) -> Self {
        Self { done: Cell::new(0), all, started: Instant::now() }
    }

    /// Call at the beginning of each scenario.
    pub(crate) fn next(&self, scenario: &str) {
        self.done.set(self.done.get() + 1);
        let so_far = Duration::from_secs(self.started.elapsed().as_secs());
        eprintln!("[{:>2} of {}, {}] {scenario}", self.done.get(), self.all, humantime::format_duration(so_far));
    }
}
