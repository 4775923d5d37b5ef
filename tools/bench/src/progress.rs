use std::{
    cell::Cell,
    time::{Duration, Instant},
};

/// Says on stderr how far the benchmark is.
#[derive(Debug)]
pub(crate) struct Progress {
    done: Cell<usize>,
    all: usize,
    begun: Instant,
}

impl Progress {
    /// Of so many scenarios.
    pub(crate) fn of(all: usize) -> Self {
        Self { done: Cell::new(0), all, begun: Instant::now() }
    }

    /// The next scenario begins.
    pub(crate) fn next(&self, scenario: &str) {
        self.done.set(self.done.get() + 1);
        let so_far = Duration::from_secs(self.begun.elapsed().as_secs());
        eprintln!("[{:>2} of {}, {}] {scenario}", self.done.get(), self.all, humantime::format_duration(so_far));
    }
}
