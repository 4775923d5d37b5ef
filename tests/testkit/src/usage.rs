//! What a process uses, as Linux tells it.

use std::time::Duration;

/// Ticks of 10 ms, on every Linux of today.
const TICK: Duration = Duration::from_millis(10);

/// The most memory that the process has used so far, in bytes (`VmHWM`).
#[must_use]
pub fn peak_memory(process: u32) -> Option<u64> {
    memory_of(process, "status", "VmHWM:")
}

/// The memory that the process uses now, in bytes (`VmRSS`).
#[must_use]
pub fn memory(process: u32) -> Option<u64> {
    memory_of(process, "status", "VmRSS:")
}

/// The process's share of the memory that is used now, in bytes (`Pss`): what several share is counted once.
#[must_use]
pub fn share_of_memory(process: u32) -> Option<u64> {
    memory_of(process, "smaps_rollup", "Pss:")
}

/// The processor time that the process has used so far, user and system together.
#[must_use]
pub fn processor_time(process: u32) -> Option<Duration> {
    Times::of(process).map(|times| times.own)
}

/// A process, and the processor time that was used so far, user and system together.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// The process that has started it.
    pub parent: u32,
    /// By itself.
    pub own: Duration,
    /// By those of its children that have ended.
    pub of_ended_children: Duration,
}

impl Times {
    /// Of this process; `None` where there is none.
    #[must_use]
    pub fn of(process: u32) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
        // The fields behind the name, which stands in brackets: the state, the parent, and from the 12th on the times.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let number = |index: usize| fields.get(index)?.parse::<u32>().ok();
        let two = |index: usize| Some(TICK * (number(index)? + number(index + 1)?));
        Some(Self { parent: number(1)?, own: two(11)?, of_ended_children: two(13)? })
    }
}

/// A field of a file about the process that says KiB, in bytes.
fn memory_of(process: u32, file: &str, field: &str) -> Option<u64> {
    let lines = std::fs::read_to_string(format!("/proc/{process}/{file}")).ok()?;
    let number = lines.lines().find_map(|line| line.strip_prefix(field))?.split_whitespace().next()?;
    Some(number.parse::<u64>().ok()? * 1024)
}
