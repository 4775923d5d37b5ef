//! The user that a server runs as.

use std::{fs, os::unix::fs::MetadataExt as _, os::unix::process::CommandExt as _, path::Path, process::Command};

use anyhow::{Context as _, Result, ensure};

/// A user without rights, that root steps down to. PostgreSQL refuses to run as root, and RabbitMQ has no need to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Account {
    uid: u32,
    gid: u32,
}

impl Account {
    /// The first of `names` that the machine knows, if we are root; nobody to step down to otherwise.
    ///
    /// # Errors
    /// If we are root and there is no such user.
    pub(crate) fn to_step_down_to(names: &[&str], owned_by_us: &Path) -> Result<Option<Self>> {
        // There is no safe call for one's own id; a fresh directory's owner is that.
        if fs::metadata(owned_by_us)?.uid() != 0 {
            return Ok(None);
        }
        let account = names.iter().find_map(|name| Some(Self { uid: id("-u", name).ok()?, gid: id("-g", name).ok()? }));
        account.map(Some).with_context(|| format!("root cannot run this server, and there is no user {names:?}"))
    }

    pub(crate) fn owns(self, path: &Path) -> Result<()> {
        std::os::unix::fs::chown(path, Some(self.uid), Some(self.gid))
            .with_context(|| format!("cannot hand over {}", path.display()))
    }

    pub(crate) fn runs(self, command: &mut Command) {
        // The supplementary groups of root are dropped by this too.
        command.uid(self.uid).gid(self.gid);
    }
}

fn id(which: &str, name: &str) -> Result<u32> {
    let output = Command::new("id").args([which, name]).output().context("cannot run id")?;
    ensure!(output.status.success(), "there is no user {name}");
    String::from_utf8(output.stdout)?.trim().parse().context("an id is a number")
}
