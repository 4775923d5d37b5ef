//! Whether there is room for the builds and for the data of the test servers.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

/// What the first run writes to the checkout's `target`, in GB.
const BUILDS_GB: u64 = 10;
/// What a run writes to the directory for temporary files, in GB: most are the databases of single tests.
const DATA_GB: u64 = 4;

/// Returns warnings about file systems that may be too small, and prints them: a full disk shows elsewhere only as
/// servers that have ended and as output that is missing.
pub(crate) fn warn() -> Vec<String> {
    let is_built = Path::new("target/debug").exists();
    let places = [(PathBuf::from("."), if is_built { 0 } else { BUILDS_GB }), (env::temp_dir(), DATA_GB)];
    let warnings: Vec<_> = places
        .iter()
        .filter_map(|(place, needed)| warning(place, *needed, free(place)?))
        .inspect(|warning| println!("\n==> little room\n    {warning}"))
        .collect();
    warnings
}

fn warning(place: &Path, needed_gb: u64, free_gb: u64) -> Option<String> {
    let place = place.display();
    (free_gb < needed_gb).then(|| format!("{free_gb} GB are free in {place}, and a run may need {needed_gb}"))
}

/// Returns how many GB are free in the file system of a directory; `None` if `df` cannot tell.
fn free(directory: &Path) -> Option<u64> {
    let output = Command::new("df").arg("-Pk").arg(directory).output().ok()?;
    free_in(&String::from_utf8_lossy(&output.stdout))
}

/// Reads the output of `df -Pk` (POSIX): the fourth column is the number of free KiB.
fn free_in(output: &str) -> Option<u64> {
    let kib: u64 = output.lines().nth(1)?.split_whitespace().nth(3)?.parse().ok()?;
    Some(kib * 1024 / 1_000_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_small_is_told() {
        let output = "Filesystem 1024-blocks Used Available Capacity Mounted on\n/dev/vda 264000000 1 3000000 99% /\n";
        assert_eq!(free_in(output), Some(3));
        let place = Path::new("/tmp");
        assert_eq!(warning(place, 4, 3).unwrap(), "3 GB are free in /tmp, and a run may need 4");
        assert_eq!(warning(place, 4, 4), None);
        assert_eq!(free_in(""), None, "without an answer there is no warning");
        assert!(free(Path::new(".")).is_some());
    }
}
