//! Suspends and continues processes.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::Command,
};

use anyhow::{Result, ensure};

use testkit::usage::Times;

/// Returns the processes that this process has started in `directory`, and all their descendants.
pub(crate) fn tree_in(directory: &Path) -> BTreeSet<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let parents: BTreeMap<u32, u32> = ids.filter_map(|id| Some((id, Times::of(id)?.parent))).collect();
    let in_it = |id: u32| fs::read_link(format!("/proc/{id}/cwd")).is_ok_and(|path| path.starts_with(directory));
    let ours = parents.iter().filter(|(id, parent)| **parent == std::process::id() && in_it(**id));
    let mut found: BTreeSet<u32> = ours.map(|(id, _)| *id).collect();
    loop {
        let below: BTreeSet<u32> =
            parents.iter().filter(|(_, parent)| found.contains(parent)).map(|(id, _)| *id).collect();
        if below.is_subset(&found) {
            return found;
        }
        found.extend(below);
    }
}

/// Sends a signal by name, such as `STOP`. Ignores processes that have already ended.
pub(crate) fn signal(name: &str, processes: impl IntoIterator<Item = u32>) -> Result<()> {
    let ids: Vec<String> = processes.into_iter().map(|id| id.to_string()).collect();
    ensure!(!ids.is_empty(), "there is no process to send {name} to");
    let script = r#"name=$1; shift; for id; do kill -s "$name" "$id" 2>/dev/null; done; exit 0"#;
    let sent = Command::new("sh").args(["-c", script, "sh", name]).args(&ids).status()?;
    ensure!(sent.success(), "cannot send {name}");
    Ok(())
}
