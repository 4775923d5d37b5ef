//! Measures two builds of the programs side by side: another one (`--beside`), and this one.

use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::Serialize;
use testkit::programs::Programs;

use crate::{
    Settings,
    progress::Progress,
    scenario::{Measured, Scenario},
};

/// The two builds.
#[derive(Debug, Clone)]
pub(crate) struct Builds {
    other: Programs,
    this: Programs,
}

/// The results of both builds.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct SideBySide {
    /// The directory of the other build's programs.
    pub(crate) beside: PathBuf,
    pub(crate) on_servers: Vec<Comparison>,
    pub(crate) in_one_process: Vec<Comparison>,
}

/// The results of both builds in one scenario.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Comparison {
    pub(crate) other: Summary,
    pub(crate) this: Summary,
    /// The results of this build divided by those of the other.
    pub(crate) ratio: Ratio,
}

/// The results of one build in one scenario: the medians of its runs.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Summary {
    #[serde(flatten)]
    pub(crate) median: Measured,
    pub(crate) orders_per_second_of_each_run: Vec<f64>,
}

/// This build divided by the other.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Ratio {
    pub(crate) orders_per_second: f64,
    pub(crate) p50_milliseconds: f64,
    pub(crate) p99_milliseconds: f64,
    pub(crate) p99_9_milliseconds: f64,
    /// Processor time per order, of all processes together.
    pub(crate) processor_per_order: f64,
}

impl Builds {
    /// Returns this build and the one in the directory.
    pub(crate) fn with(other: &Path) -> Result<Self> {
        let builds = Self { other: Programs::in_directory(other)?, this: Programs::of_this_build()? };
        // So that a program that is missing shows before the first measurement.
        for programs in [&builds.other, &builds.this] {
            ["order", "inventory", "payment", "order-system"]
                .iter()
                .try_for_each(|name| programs.path(name).map(drop))?;
        }
        Ok(builds)
    }

    /// Measures both builds in the scenarios of `first`, and then in those that `last` returns for the lower of both
    /// rates at the reference. `measure` starts a fresh system for each run. `system` is its name for the progress.
    pub(crate) async fn compare(
        &self,
        system: &str,
        settings: &Settings,
        progress: &Progress,
        first: Vec<Scenario>,
        last: impl Fn(f64) -> [Scenario; 2],
        measure: impl AsyncFn(&Programs, &Scenario) -> Result<Measured>,
    ) -> Result<Vec<Comparison>> {
        let (mut found, mut uniform) = (Vec::new(), [0.0; 2]);
        for scenario in first.into_iter().filter(Scenario::is_comparable) {
            let mut both = self.alternate(system, settings, progress, &scenario, &measure).await?;
            if scenario.is_reference() {
                uniform = both.each_ref().map(|one| one.median.figures.orders_per_second);
            } else if scenario.has_reference() {
                both.iter_mut().zip(uniform).for_each(|(one, uniform)| one.median.figures.compare(uniform));
            }
            found.push(Comparison::of(both));
        }
        for scenario in last(f64::min(uniform[0], uniform[1])) {
            found.push(Comparison::of(self.alternate(system, settings, progress, &scenario, &measure).await?));
        }
        Ok(found)
    }

    /// Measures the other build, this one, the other, this one, and so on, so that a change of the machine's speed
    /// affects both.
    async fn alternate(
        &self,
        system: &str,
        settings: &Settings,
        progress: &Progress,
        scenario: &Scenario,
        measure: &impl AsyncFn(&Programs, &Scenario) -> Result<Measured>,
    ) -> Result<[Summary; 2]> {
        let builds = [(&self.other, "the other build"), (&self.this, "this build")];
        let mut runs = [Vec::new(), Vec::new()];
        for number in 1..=settings.repeat {
            for ((programs, build), runs) in builds.iter().zip(&mut runs) {
                let run = format!("{build}, run {number} of {}", settings.repeat);
                progress.next(&format!("{system}, {}, {run}", scenario.title()));
                runs.push(measure(programs, scenario).await?);
            }
        }
        Ok(runs.map(|runs| Summary::of(&runs)))
    }
}

impl Comparison {
    fn of([other, this]: [Summary; 2]) -> Self {
        Self { ratio: Ratio::of(&this.median, &other.median), other, this }
    }
}

impl Summary {
    fn of(runs: &[Measured]) -> Self {
        let orders_per_second_of_each_run = runs.iter().map(|run| run.figures.orders_per_second).collect();
        Self { median: Measured::median(runs), orders_per_second_of_each_run }
    }
}

impl Ratio {
    fn of(this: &Measured, other: &Measured) -> Self {
        let (a, b) = (&this.figures, &other.figures);
        Self {
            orders_per_second: a.orders_per_second / b.orders_per_second,
            p50_milliseconds: a.p50_milliseconds / b.p50_milliseconds,
            p99_milliseconds: a.p99_milliseconds / b.p99_milliseconds,
            p99_9_milliseconds: a.p99_9_milliseconds / b.p99_9_milliseconds,
            processor_per_order: this.processor_milliseconds_per_order() / other.processor_milliseconds_per_order(),
        }
    }
}
