//! Inspects processes through `/proc`.

use std::{
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

/// Waits until the condition holds.
pub(crate) fn eventually(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(Instant::now() < deadline, "not within 30 s: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Returns all descendants of a process.
pub(crate) fn descendants(parent: u32) -> Vec<u32> {
    let children: Vec<u32> = all().filter(|id| stat(*id).is_some_and(|(_, its_parent)| its_parent == parent)).collect();
    children.iter().copied().chain(children.iter().flat_map(|child| descendants(*child))).collect()
}

/// Returns whether a process is running. One that has ended but was not waited for is not.
pub(crate) fn runs(id: u32) -> bool {
    stat(id).is_some_and(|(state, _)| state != "Z")
}

/// Returns whether any process has the path in its command line.
pub(crate) fn mention(path: &Path) -> bool {
    let path = path.to_str().unwrap();
    all().any(|id| {
        fs::read(format!("/proc/{id}/cmdline")).is_ok_and(|line| String::from_utf8_lossy(&line).contains(path))
    })
}

fn all() -> impl Iterator<Item = u32> {
    fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

/// Returns the state and the parent of a process.
fn stat(id: u32) -> Option<(String, u32)> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    Some((fields.next()?.to_owned(), fields.next()?.parse().ok()?))
}
