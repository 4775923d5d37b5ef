//! A file system of limited size for a server's data, to test a full disk.

use std::{
    fs::{self, File},
    io::{ErrorKind, Write as _},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};

/// Checks whether this process may mount a file system: usually, only root on Linux may, and a container can forbid it.
///
/// # Errors
/// If it may not; the error contains the output of `mount`.
pub fn can_be_limited() -> Result<()> {
    let directory = tempfile::tempdir()?;
    Disk::mount(directory.path(), 1).map(drop)
}

/// A mounted tmpfs. Dropping it unmounts it and deletes its content.
#[derive(Debug)]
pub(crate) struct Disk {
    directory: PathBuf,
}

impl Disk {
    /// Mounts a tmpfs on a directory.
    pub(crate) fn mount(directory: &Path, megabytes: u32) -> Result<Self> {
        let options = format!("size={megabytes}m,mode=0700");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(directory);
        let output = mount.output().context("cannot run mount")?;
        let stderr = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{}", stderr.lines().next().unwrap_or("mount failed without a message"));
        Ok(Self { directory: directory.to_owned() })
    }

    /// Writes a file until there is no space left (ENOSPC).
    pub(crate) fn fill(&self) -> Result<()> {
        let mut ballast = File::create(self.ballast())?;
        let block = vec![0; 1024 * 1024];
        loop {
            match ballast.write(&block) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => return Ok(()),
                Err(error) => return Err(error).context("cannot fill the disk"),
            }
        }
    }

    /// Removes what [`Self::fill`] has written.
    pub(crate) fn free(&self) -> Result<()> {
        fs::remove_file(self.ballast()).context("cannot free the disk")
    }

    fn ballast(&self) -> PathBuf {
        self.directory.join("ballast")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Usually the watchdog has already unmounted it, and this fails.
        let _ = Command::new("umount").arg("-l").arg(&self.directory).output();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_refuses_writes_until_it_is_freed() {
        if let Err(error) = can_be_limited() {
            eprintln!("not tested: {error:#}");
            return;
        }
        let directory = tempfile::tempdir().unwrap();
        let disk = Disk::mount(directory.path(), 2).unwrap();
        disk.fill().unwrap();
        let file = directory.path().join("file");
        assert_eq!(fs::write(&file, [0; 4096]).unwrap_err().kind(), ErrorKind::StorageFull);
        disk.free().unwrap();
        fs::write(&file, [0; 4096]).unwrap();
        drop(disk);
        assert!(!file.exists());
        assert!(!fs::read_to_string("/proc/mounts").unwrap().contains(directory.path().to_str().unwrap()));
    }
}
