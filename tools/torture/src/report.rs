use std::{collections::BTreeMap, fmt, time::Duration};

use super::{faults::Kind, history::Violation, schedule::Schedule};

/// What a run came to.
#[derive(Debug, Clone)]
pub struct Report {
    /// What was to happen.
    pub schedule: Schedule,
    /// How many faults of each kind there were, and the longest time without a newly confirmed order from the beginning of one
    /// to five seconds after its end.
    pub faults: BTreeMap<Kind, (usize, Duration)>,
    /// How many operations of each kind, and how many of these got an answer.
    pub operations: BTreeMap<&'static str, (u64, u64)>,
    /// How many orders ended in which way.
    pub ends: BTreeMap<String, usize>,
    /// How many times without faults there were, and in how many of these no order was confirmed.
    pub quiet: (usize, usize),
    /// From the last repair until every order had ended.
    pub settled_after: Duration,
    /// The most memory of a process of each service, in bytes.
    pub memory: BTreeMap<String, u64>,
    /// How long the run took.
    pub took: Duration,
    /// What cannot be true, with what is known about it.
    pub violations: Vec<String>,
}

impl Report {
    pub(crate) fn violated(&mut self, violation: &Violation, about: String) {
        self.violations.push(match violation.order_id {
            Some(order_id) => format!("order {order_id}: {}\n{about}", violation.what),
            None => violation.what.clone(),
        });
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let faults: usize = self.faults.values().map(|(count, _)| count).sum();
        writeln!(f, "\n{faults} faults in {:.0} s, seed {}", self.took.as_secs_f64(), self.schedule.seed)?;
        writeln!(f, "\n| fault | how many | longest time without a confirmed order, s |\n|---|---|---|")?;
        for (kind, (count, longest)) in &self.faults {
            writeln!(f, "| {kind} | {count} | {:.1} |", longest.as_secs_f64())?;
        }
        writeln!(f, "\n| operation | how many | of these answered |\n|---|---|---|")?;
        for (kind, (count, answered)) in &self.operations {
            writeln!(f, "| {kind} | {count} | {answered} |")?;
        }
        let ends: Vec<String> = self.ends.iter().map(|(end, count)| format!("{count} {end}")).collect();
        writeln!(f, "\norders: {}", ends.join(", "))?;
        let (quiet, without) = self.quiet;
        writeln!(f, "times without faults: {quiet}, of these without a confirmed order: {without}")?;
        writeln!(f, "every order had ended {:.1} s after the last repair", self.settled_after.as_secs_f64())?;
        for (service, bytes) in &self.memory {
            writeln!(f, "most memory of {service}: {} MiB", bytes / 1024 / 1024)?;
        }
        match self.violations.len() {
            0 => writeln!(f, "no violations"),
            count => {
                writeln!(f, "\n{count} VIOLATIONS")?;
                self.violations.iter().take(20).try_for_each(|violation| writeln!(f, "\n{violation}"))
            }
        }
    }
}
