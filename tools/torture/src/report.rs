use std::{collections::BTreeMap, fmt, time::Duration};

use super::{faults::Kind, history::Violation, schedule::Schedule};

/// The result of a run.
#[derive(Debug, Clone)]
pub struct Report {
    /// The schedule of the run.
    pub schedule: Schedule,
    /// The number of faults of each kind, and the longest time without a newly confirmed order, from the beginning of a
    /// fault to five seconds after its end.
    pub faults: BTreeMap<Kind, (usize, Duration)>,
    /// The number of operations of each kind, and how many of them got a response.
    pub operations: BTreeMap<&'static str, (u64, u64)>,
    /// The number of orders by final status and reason.
    pub ends: BTreeMap<String, usize>,
    /// The number of fault-free periods, and in how many of them no order was confirmed.
    pub quiet: (usize, usize),
    /// Time from the last repair until every order had ended.
    pub settled_after: Duration,
    /// Peak memory of a process of each service, in bytes.
    pub memory: BTreeMap<String, u64>,
    /// Duration of the run.
    pub took: Duration,
    /// The violations, with what is known about each.
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
        let Schedule { seed, topology, .. } = self.schedule;
        writeln!(f, "\n{faults} faults in {:.0} s, seed {seed}, topology {topology}", self.took.as_secs_f64())?;
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
