//! What a process uses, as Linux tells it.

use std::time::Duration;

/// Ticks of 10 ms, on every Linux of today.
const TICK: Duration = Duration::from_millis(10);

/// The most memory that the process has used so far, in bytes (`VmHWM`).
#[must_use]
pub fn peak_memory(process: u32) -> Option<u64> {
    status(process, "VmHWM:").map(|kib| kib * 1024)
}

/// The memory that the process uses now, in bytes (`VmRSS`).
#[must_use]
pub fn memory(process: u32) -> Option<u64> {
    status(process, "VmRSS:").map(|kib| kib * 1024)
}

/// The processor time that the process has used so far, user and system together.
#[must_use]
pub fn processor_time(process: u32) -> Option<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The fields behind the name, which stands in brackets; user and system time are the 14th and 15th of all.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let ticks = fields.next()?.parse::<u32>().ok()? + fields.next()?.parse::<u32>().ok()?;
    Some(TICK * ticks)
}

/// The processor time that all processes of the machine have used so far, together.
#[must_use]
pub fn machine_time() -> Option<Duration> {
    let stat = std::fs::read_to_string("/proc/stat").ok()?;
    let mut fields = stat.lines().next()?.split_whitespace().skip(1).map_while(|field| field.parse::<u64>().ok());
    // User, nice and system; then come idle and waiting for the disk.
    let busy = fields.next()? + fields.next()? + fields.next()?;
    Some(TICK * u32::try_from(busy).ok()?)
}

fn status(process: u32, field: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix(field))?.split_whitespace().next()?.parse().ok()
}
