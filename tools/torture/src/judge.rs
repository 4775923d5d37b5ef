//! Turns the results of a run into statistics and violations.

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

use super::{faults::Kind, history::History, report::Report, schedule::Schedule};
use testkit::stack::Stack;

/// Maximum memory of a service, in bytes, under any fault.
const MAX_MEMORY: u64 = 256 * 1024 * 1024;

/// How long after a fault it may still have an effect, in microseconds.
const AFTERMATH: u64 = 5_000_000;

/// Returns, for each kind of fault, how often it occurred and the longest time around one without a newly confirmed
/// order. `confirmed` are the times at which orders were first seen to be confirmed.
pub(super) fn longest(
    schedule: &Schedule,
    done: &BTreeMap<usize, (u64, u64)>,
    confirmed: &[u64],
) -> BTreeMap<Kind, (usize, Duration)> {
    let mut confirmed = confirmed.to_vec();
    confirmed.sort_unstable();
    let mut found: BTreeMap<Kind, (usize, Duration)> = BTreeMap::new();
    for (index, (began, ended)) in done {
        let end = ended + AFTERMATH;
        let during = confirmed.iter().copied().filter(|at| (*began..end).contains(at));
        let (_, most) = during.chain([end]).fold((*began, 0), |(since, most), at| (at, most.max(at - since)));
        let (count, longest) = found.entry(schedule.faults[*index].kind).or_default();
        *count += 1;
        *longest = (*longest).max(Duration::from_micros(most));
    }
    found
}

/// Adds the violations to the report, each with what is known about it.
pub(super) fn judge(report: &mut Report, stack: &Stack, history: &History) {
    let history = history.lock();
    for violation in &history.violations {
        let mut about = String::new();
        if let Some(order_id) = violation.order_id {
            for operation in history.operations(order_id) {
                let (began, ended) = (operation.began as f64 / 1e6, operation.ended as f64 / 1e6);
                let _ = writeln!(
                    about,
                    "    {began:>8.3} to {ended:>8.3} s  {}: {} -> {}",
                    operation.who, operation.what, operation.response
                );
            }
            let words = [format!("\"order.id\":\"{order_id}\""), format!("\"order.id\":{order_id},")];
            for replica in &stack.replicas {
                let log = replica.log();
                let lines = log.lines().filter(|line| words.iter().any(|word| line.contains(word.as_str())));
                lines.take(20).for_each(|line| {
                    let _ = writeln!(about, "    {}: {line}", replica.service);
                });
            }
        }
        report.violated(violation, about);
    }
    for (service, bytes) in &report.memory {
        if *bytes > MAX_MEMORY {
            report.violations.push(format!("{service} used {} MiB of memory", bytes / 1024 / 1024));
        }
    }
    if !report.ends.contains_key("CONFIRMED") {
        report.violations.push("no order was confirmed at all".to_owned());
    }
    let (quiet, without) = report.quiet;
    if quiet >= 4 && without * 2 > quiet {
        report.violations.push(format!("in {without} of {quiet} times without faults no order was confirmed"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_pause_around_a_fault_is_found() {
        let schedule = Schedule::new(1, 1, &[Kind::Kill], 1, u64::MAX);
        let pause = |confirmed: &[u64]| {
            let done = BTreeMap::from([(0, (10_000_000, 12_000_000))]);
            longest(&schedule, &done, confirmed)[&Kind::Kill]
        };
        let seconds = |seconds| (1, Duration::from_secs(seconds));
        assert_eq!(pause(&[]), seconds(7));
        assert_eq!(pause(&[9_000_000, 18_000_000]), seconds(7));
        assert_eq!(pause(&[16_000_000, 11_000_000]), seconds(5));
        assert_eq!(pause(&[13_000_000]), seconds(4));
    }
}
